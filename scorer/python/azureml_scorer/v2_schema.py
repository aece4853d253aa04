"""Tensors by the schema of a decorated ``run``: what its metadata says, and which parameter gets what."""

import functools
import json
import sys

from azureml_scorer import loading, schema
from azureml_scorer.v2 import Refused

_FRAME = "pandas.DataFrame"
_ARRAY = "numpy.ndarray"
_NUMBERS = {"float": "FP32", "double": "FP64"}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def tensors(run):
    """(inputs, outputs) of the model's metadata."""
    util = schema.known_to(run)
    inputs = [tensor for name, described, example in _parameters(util, run) for tensor in _tensors(name, described, example)]
    output = util.get_output_schema(run)
    outputs = []
    if "type" in output and (output["type"] != "object" or "properties" in output):
        if output["type"] == "object" and "format" not in output:
            examples = output.get("example") or {}
            outputs = [t for name, inner in output["properties"].items() for t in _tensors(name, inner, examples.get(name))]
        else:
            outputs = _tensors("output-0", output, output.get("example"))
    return inputs, outputs


def _parameters(util, run):
    """(name, schema, example) of each parameter."""
    whole = util.get_input_schema(run)
    examples = whole.get("example") or {}
    properties = whole.get("properties") or {}
    # The document lists every parameter; this one the server fills itself.
    return [(name, properties[name], examples.get(name)) for name in properties if name != "request_headers"]


def _is(described, what):
    return str(described.get("format", "")).startswith(what)


def _tensors(name, described, example):
    """The tensors of one parameter: one for each column of a DataFrame, else one."""
    if _is(described, _FRAME):
        columns = _columns(described)
        if columns:
            return [_tensor(column, inner, [-1]) for column, inner in columns.items()]
    shape, inner = [], described
    while inner.get("type") == "array" and isinstance(inner.get("items"), dict):
        # The first dimension is the batch; the others are the sample's.
        shape.append(len(example) if shape and isinstance(example, list) else -1)
        example = example[0] if isinstance(example, list) and example else None
        inner = inner["items"]
    return [_tensor(name, inner, shape or [1])]


def _columns(described):
    items = described.get("items")
    return items.get("properties") if isinstance(items, dict) else None


def _tensor(name, described, shape):
    return {"name": str(name), "datatype": _datatype(described), "shape": shape}


def _datatype(described):
    kind, form = described.get("type"), described.get("format")
    if kind == "integer":
        return form.upper() if form in _INTEGERS else "INT64"
    if kind == "number":
        return _NUMBERS.get(form, "FP64")
    # Text, and the JSON text of what is no tensor.
    return "BOOL" if kind == "boolean" else "BYTES"


def arguments(run, inputs):
    """The arguments of ``run`` by name, of the tensors of a request."""
    known = _parameters(schema.known_to(run), run)
    given = {tensor.name: tensor for tensor in inputs}
    if len(known) == 1 and known[0][0] not in given:
        name, described, example = known[0]
        if _is(described, _FRAME):
            return {name: _frame(described, inputs)}
        if len(inputs) == 1:
            return {name: _argument(described, example, inputs[0])}
    names = [name for name, _, _ in known]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise Refused(400, f"The model has no input {unknown[0]!r}; its inputs are {', '.join(map(repr, names))}.")
    missing = [name for name in _required(run) if name not in given]
    if missing:
        raise Refused(400, f"The model needs an input {missing[0]!r} too.")
    return {name: _argument(described, example, given[name]) for name, described, example in known if name in given}


@functools.lru_cache(maxsize=1)
def _required(run):
    """Names of the parameters without a default."""
    return [parameter.name for parameter in loading.parameters("", run)[0] if parameter.required]


def _argument(described, example, tensor):
    """A tensor as a parameter wants it."""
    if _is(described, _FRAME):
        return _frame(described, [tensor])
    if _is(described, _ARRAY):
        return _array(described, example, tensor)
    kind = described.get("type")
    if kind == "array":
        return tensor.plain()
    elements = tensor.flat()
    if len(elements) != 1:
        raise Refused(400, f"The input {tensor.name!r} has {len(elements)} elements; its parameter takes one.")
    if kind != "object":
        return elements[0]
    try:
        return json.loads(elements[0])
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(400, f"The input {tensor.name!r} stands for an object, so it must be its JSON text: {error}") from None


def _array(described, example, tensor):
    """A numpy array of the declared type and shape."""
    array = tensor.value()
    wanted = _tensors(tensor.name, described, example)[0]
    shape = wanted["shape"]
    if len(array.shape) != len(shape) or any(size not in (-1, found) for size, found in zip(shape[1:], array.shape[1:])):
        raise Refused(400, f"The input {tensor.name!r} has the shape {tensor.shape}, but the model takes {shape}.")
    if wanted["datatype"] == "BYTES" or tensor.datatype == "BYTES":
        # The decorator knows what its text means.
        return tensor.plain()
    from azureml_scorer.v2_tensors import numpy_of

    return array.astype(numpy_of(wanted["datatype"]), copy=False)


def _frame(described, inputs):
    """A DataFrame: of columns by name, or of one tensor that holds the rows of all columns."""
    pandas = sys.modules["pandas"]
    names = list(_columns(described) or {})
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] == len(names) and inputs[0].name not in names:
        return pandas.DataFrame(inputs[0].plain(), columns=names)
    columns = {}
    for tensor in inputs:
        if names and tensor.name not in names:
            raise Refused(400, f"The model has no input {tensor.name!r}; its inputs are {', '.join(map(repr, names))}.")
        if len(tensor.shape) != 1 and tensor.shape[1:] != [1]:
            raise Refused(400, f"The input {tensor.name!r} has the shape {tensor.shape}; a column has [-1] or [-1, 1].")
        columns[tensor.name] = tensor.flat() if tensor.datatype == "BYTES" else tensor.value().reshape(-1)
    missing = [name for name in names if name not in columns]
    if missing:
        raise Refused(400, f"The model needs an input {missing[0]!r} too.")
    if len({len(column) for column in columns.values()}) > 1:
        raise Refused(400, "The inputs are columns of one table, but differ in length.")
    return pandas.DataFrame(columns, columns=names or None)
