"""Tensors of the Open Inference Protocol: out of requests and into answers, as JSON and as raw bytes.

numpy is used only where the score script has imported it already; without, values are lists.
"""

import json
import math
import struct
import sys

from azureml_scorer.v2 import Refused

# Code of struct, bytes of an element, name in numpy.
_KINDS = {
    "BOOL": ("?", 1, "bool"),
    "INT8": ("b", 1, "int8"),
    "INT16": ("h", 2, "int16"),
    "INT32": ("i", 4, "int32"),
    "INT64": ("q", 8, "int64"),
    "UINT8": ("B", 1, "uint8"),
    "UINT16": ("H", 2, "uint16"),
    "UINT32": ("I", 4, "uint32"),
    "UINT64": ("Q", 8, "uint64"),
    "FP16": ("e", 2, "float16"),
    "FP32": ("f", 4, "float32"),
    "FP64": ("d", 8, "float64"),
}
# The last one is a dtype of the package ml_dtypes.
_DATATYPES = {**{numpy: name for name, (_, _, numpy) in _KINDS.items()}, "bfloat16": "BF16"}
_KNOWN = ", ".join([*_KINDS, "BF16", "BYTES"])
_JSON_LENGTH = "inference-header-content-length"
# Most dimensions of a tensor, as in numpy.
_DIMENSIONS = 64
# Largest product of the other dimensions of a tensor without elements.
_NOTHING = 1024 * 1024


def _numpy():
    return sys.modules.get("numpy")


class Tensor:
    """A named tensor: its elements in row-major order, as a flat list or a numpy array of its shape."""

    __slots__ = ("name", "datatype", "shape", "elements")

    def __init__(self, name, datatype, shape, elements):
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.elements = elements

    def value(self):
        """For ``run_v2``: a numpy array where the script uses numpy, else nested lists. BYTES are ``bytes``."""
        return self.elements if _is_array(self.elements) else _nested(self.elements, self.shape)

    def plain(self):
        """As JSON can have it: nested lists, BYTES as text."""
        elements = self.elements
        if self.datatype == "BYTES":
            return _nested(self._texts(), self.shape)
        return elements.tolist() if _is_array(elements) else _nested(elements, self.shape)

    def flat(self):
        """The elements as a flat list, BYTES as text."""
        if self.datatype == "BYTES":
            return self._texts()
        return self.elements.reshape(-1).tolist() if _is_array(self.elements) else self.elements

    def _texts(self):
        elements = self.elements.reshape(-1).tolist() if _is_array(self.elements) else self.elements
        try:
            return [element.decode() for element in elements]
        except UnicodeDecodeError as error:
            raise Refused(400, f"The input {self.name!r} has an element that is not UTF-8 text: {error}") from None


class Asked:
    """What a request asks for."""

    __slots__ = ("id", "inputs", "wanted", "binary")

    def __init__(self, id, inputs, wanted, binary):
        self.id = id
        self.inputs = inputs
        # Outputs by name, and whether each is to be binary; None for all.
        self.wanted = wanted
        self.binary = binary


def read(request):
    """The request's tensors; Refused for what the protocol does not allow."""
    body = request.body
    length = request.header(_JSON_LENGTH)
    raw = memoryview(b"")
    if length is not None:
        if not (length.isascii() and length.isdigit()) or int(length) > len(body):
            raise Refused(400, f"The header Inference-Header-Content-Length is {length!r}, but the body has {len(body)} bytes.")
        raw = memoryview(body)[int(length) :]
        body = body[: int(length)]
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not the JSON of an inference request: {error}") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list):
        raise Refused(400, 'An inference request is a JSON object with a list "inputs".')
    inputs = []
    for at, given in enumerate(asked["inputs"]):
        tensor, raw = _input(given, at, raw)
        inputs.append(tensor)
    if len(raw):
        raise Refused(400, f"{len(raw)} bytes follow the tensors that the request describes.")
    if len({tensor.name for tensor in inputs}) < len(inputs):
        raise Refused(400, "Two inputs have the same name.")
    id = asked.get("id")
    binary = _parameters(asked, "The request").get("binary_data_output") is True
    return Asked(id if isinstance(id, str) else None, inputs, _wanted(asked.get("outputs"), binary), binary)


def _parameters(given, whose):
    parameters = given.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise Refused(400, f"{whose} has parameters that are not a JSON object.")
    if "shared_memory_region" in parameters:
        raise Refused(400, f"{whose} uses shared memory, which this server does not have.")
    return parameters


def _wanted(outputs, binary):
    if not outputs:
        return None
    wanted = {}
    for output in outputs if isinstance(outputs, list) else [None]:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise Refused(400, 'The "outputs" of a request are a list of objects with a "name".')
        parameters = _parameters(output, f"The output {output['name']!r}")
        if parameters.get("classification"):
            raise Refused(400, f"The output {output['name']!r} asks for classification, which this server does not do.")
        wanted[output["name"]] = parameters.get("binary_data", binary) is True
    return wanted


def _input(given, at, raw):
    """(tensor, the raw bytes that follow it)."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise Refused(400, f'Input {at} is not an object with a "name".')
    name, datatype, shape = given["name"], given.get("datatype"), given.get("shape")
    whose = f"The input {name!r}"
    if datatype not in _KINDS and datatype not in ("BYTES", "BF16"):
        raise Refused(400, f"{whose} has the datatype {datatype!r}; known are {_KNOWN}.")
    if not isinstance(shape, list) or len(shape) > _DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(400, f"{whose} has no shape; it is a list of up to {_DIMENSIONS} whole numbers that are not negative.")
    count = math.prod(shape)
    # Of nothing there may be much, as nested lists.
    if count == 0 and math.prod(size for size in shape if size) > _NOTHING:
        raise Refused(400, f"{whose} has no elements, and a shape too large for that.")
    size = _parameters(given, whose).get("binary_data_size")
    if size is None:
        if "data" not in given:
            raise Refused(400, f'{whose} has neither "data" nor the parameter "binary_data_size".')
        elements = _of_json(given["data"], datatype, count, whose)
    else:
        if "data" in given:
            raise Refused(400, f'{whose} has "data" beside the parameter "binary_data_size".')
        if type(size) is not int or not 0 <= size <= len(raw):
            raise Refused(400, f"{whose} has a binary_data_size of {size!r}, but {len(raw)} bytes follow.")
        elements = _of_bytes(raw[:size], datatype, count, whose)
        raw = raw[size:]
    numpy = _numpy()
    if numpy is not None:
        elements = _array(numpy, elements, datatype).reshape(shape)
    return Tensor(name, datatype, shape, elements), raw


def _array(numpy, elements, datatype):
    if _is_array(elements):
        return elements
    if datatype == "BYTES":
        array = numpy.empty(len(elements), dtype=object)
        array[:] = elements
        return array
    return numpy.array(elements, dtype="float32" if datatype == "BF16" else _KINDS[datatype][2])


def _of_json(data, datatype, count, whose):
    flat = []
    _flatten(data if isinstance(data, list) else [data], flat, 0, whose)
    if len(flat) != count:
        raise Refused(400, f"{whose} has {len(flat)} elements, but its shape has {count}.")
    kinds = set(map(type, flat))
    if datatype == "BYTES":
        _expect(kinds, {str}, "strings", whose, datatype)
        return [element.encode("utf-8", "surrogatepass") for element in flat]
    if datatype == "BOOL":
        _expect(kinds, {bool, int}, "true or false", whose, datatype)
        return list(map(bool, flat))
    if datatype.startswith(("INT", "UINT")):
        _expect(kinds, {int}, "whole numbers", whose, datatype)
        bits = _KINDS[datatype][1] * 8
        least, most = (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if flat and not least <= min(flat) <= max(flat) <= most:
            raise Refused(400, f"{whose} has elements outside of {datatype}, which is {least} to {most}.")
        return flat
    _expect(kinds, {int, float}, "numbers", whose, datatype)
    try:
        return list(map(float, flat))
    except OverflowError:
        raise Refused(400, f"{whose} has elements too large for {datatype}.") from None


def _flatten(data, flat, depth, whose):
    if depth > _DIMENSIONS:
        raise Refused(400, f"{whose} has data nested too deeply.")
    if data and type(data[0]) is list:
        for inner in data:
            if type(inner) is not list:
                raise Refused(400, f"{whose} has data that is neither flat nor nested as its shape.")
            _flatten(inner, flat, depth + 1, whose)
    else:
        flat.extend(data)


def _expect(kinds, allowed, what, whose, datatype):
    if not kinds <= allowed:
        raise Refused(400, f"{whose} has elements that are not {what}, which {datatype} needs.")


def _of_bytes(raw, datatype, count, whose):
    if datatype == "BYTES":
        elements, at = [], 0
        while at + 4 <= len(raw) and len(elements) < count:
            (length,) = struct.unpack_from("<I", raw, at)
            at += 4
            if at + length > len(raw):
                break
            elements.append(bytes(raw[at : at + length]))
            at += length
        if at != len(raw) or len(elements) != count:
            raise Refused(400, f"{whose} has {len(raw)} bytes, which are not {count} elements, each with its length of 4 bytes in front.")
        return elements
    if datatype == "BF16":
        _fits(raw, 2 * count, whose, datatype)
        # The upper half of a 32-bit float.
        widened = bytearray(4 * count)
        widened[2::4], widened[3::4] = raw[0::2], raw[1::2]
        return list(struct.unpack(f"<{count}f", widened))
    code, width, known = _KINDS[datatype]
    _fits(raw, width * count, whose, datatype)
    numpy = _numpy()
    if numpy is None:
        return list(struct.unpack(f"<{count}{code}", raw))
    # A copy, because scripts may write to their arrays.
    return numpy.frombuffer(bytearray(raw), dtype=numpy.dtype(known).newbyteorder("<")).astype(known, copy=False)


def _fits(raw, size, whose, datatype):
    if len(raw) != size:
        raise Refused(400, f"{whose} has {len(raw)} bytes, but its shape and {datatype} make {size}.")


def _nested(flat, shape):
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)] if size else [[] for _ in range(math.prod(shape[:-1]))]
    return flat if shape else flat[0]


def _is_array(value):
    numpy = _numpy()
    return numpy is not None and isinstance(value, numpy.ndarray)


def write(asked, value, dumps, model):
    """(headers, body) of an answer with what a function has returned."""
    from azureml_scorer import v2_results

    outputs = v2_results.tensors(value, dumps)
    if asked.wanted is not None:
        known = {tensor.name: tensor for tensor in outputs}
        missing = [name for name in asked.wanted if name not in known]
        if missing:
            raise Refused(400, f"There is no output {missing[0]!r}; the outputs are {', '.join(map(repr, known)) or 'none'}.")
        outputs = [known[name] for name in asked.wanted]
    described, tail = [], []
    for tensor in outputs:
        shown = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if asked.binary if asked.wanted is None else asked.wanted[tensor.name]:
            raw = _raw(tensor)
            shown["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            shown["data"] = _shown(tensor)
        described.append(shown)
    whole = {"model_name": model[0], "model_version": model[1], "outputs": described}
    if asked.id is not None:
        whole["id"] = asked.id
    head = dumps(whole).encode()
    if not tail:
        return None, head
    headers = [("content-type", "application/octet-stream"), (_JSON_LENGTH, str(len(head)))]
    return headers, b"".join([head, *tail])


def _shown(tensor):
    try:
        return tensor.flat()
    except Refused:
        raise Refused(400, f"The output {tensor.name!r} has bytes that are not text; ask for it as binary data.") from None


def _raw(tensor):
    elements = tensor.elements
    if tensor.datatype == "BYTES":
        flat = elements.reshape(-1).tolist() if _is_array(elements) else elements
        return b"".join(part for element in flat for part in (struct.pack("<I", len(element)), element))
    if _is_array(elements):
        order = elements.dtype.byteorder
        big = order == ">" or order == "=" and sys.byteorder == "big"
        return (elements.byteswap() if big else elements).tobytes()
    return struct.pack(f"<{len(elements)}{_KINDS[tensor.datatype][0]}", *elements)


def datatype_of(dtype):
    """The protocol's name of a numpy dtype; None if it has none."""
    return _DATATYPES.get(dtype.name)


def numpy_of(datatype):
    """The name of a datatype in numpy."""
    return _KINDS[datatype][2]
