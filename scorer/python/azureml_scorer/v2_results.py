"""What a function has returned, as tensors."""

import sys

from azureml_scorer.aml_response import AMLResponse
from azureml_scorer.v2 import Refused
from azureml_scorer.v2_tensors import Tensor, datatype_of

# Name of an output that the script does not name.
_OUTPUT = "output-0"


def tensors(value, dumps):
    """The outputs: one for each key of a dictionary or column of a DataFrame, else a single one."""
    # Responses of Flask and Werkzeug have a status and get_data(); neither is imported for them.
    if isinstance(value, AMLResponse) or hasattr(value, "status_code") and hasattr(value, "get_data"):
        value = _content(value)
    if value is None:
        return []
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        value = {str(name): value[name] for name in value.columns}
    if isinstance(value, dict):
        return [_tensor(str(name), inner, dumps) for name, inner in value.items()]
    return [_tensor(_OUTPUT, value, dumps)]


def _content(response):
    """What a response carries; its error is the protocol's."""
    content = response.response if isinstance(response, AMLResponse) else response.get_data()
    if response.status_code >= 400:
        text = content.decode(errors="replace") if isinstance(content, (bytes, bytearray)) else content
        raise Refused(response.status_code, text if isinstance(text, str) else "The score script refuses the request.")
    return content


def _tensor(name, value, dumps):
    """A tensor of a value; of one that is none, its JSON text."""
    found = _of_numpy(name, value) or _of_lists(name, value)
    if found is None:
        found = Tensor(name, "BYTES", [1], [dumps(value).encode()])
    return found


def _of_numpy(name, value):
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is None:
        return None
    if pandas is not None and isinstance(value, (pandas.Series, pandas.Index)):
        value = value.to_numpy()
    elif isinstance(value, numpy.generic):
        value = numpy.asarray(value)
    if not isinstance(value, numpy.ndarray):
        return None
    if value.ndim == 0:
        value = value.reshape(1)
    datatype = datatype_of(value.dtype)
    if datatype is not None:
        return Tensor(name, datatype, list(value.shape), value)
    if value.dtype.kind in "OUSMm":
        return _of_elements(name, list(value.shape), _python(value).reshape(-1).tolist())
    return None


def _python(array):
    """An array of times as text, any other as it is."""
    return array.astype(str) if array.dtype.kind in "Mm" else array


def _of_lists(name, value):
    if not isinstance(value, (list, tuple)):
        return _of_elements(name, [1], [value])
    numpy = sys.modules.get("numpy")
    if numpy is not None and any(isinstance(inner, (numpy.ndarray, numpy.generic)) for inner in value):
        try:
            return _of_numpy(name, numpy.asarray(value))
        except ValueError:
            # Of different shapes.
            return None
    shape, flat = [], value
    while True:
        shape.append(len(flat) if not shape else len(first))
        if not flat or not isinstance(flat[0], (list, tuple)):
            return _of_elements(name, shape, list(flat))
        first = flat[0]
        if not all(isinstance(inner, (list, tuple)) and len(inner) == len(first) for inner in flat):
            return None
        flat = [element for inner in flat for element in inner]
        if not first:
            return Tensor(name, "FP64", [*shape, 0], [])


def _of_elements(name, shape, flat):
    """A tensor of plain values of one kind; None if they are of several."""
    kinds = set(map(type, flat))
    if kinds <= {int, float} and kinds != {int}:
        try:
            return Tensor(name, "FP64", shape, list(map(float, flat)))
        except OverflowError:
            return None
    if kinds == {bool}:
        return Tensor(name, "BOOL", shape, flat)
    if kinds == {int}:
        if -(2**63) <= min(flat) and max(flat) < 2**63:
            return Tensor(name, "INT64", shape, flat)
        return Tensor(name, "UINT64", shape, flat) if 0 <= min(flat) and max(flat) < 2**64 else None
    if kinds <= {str, bytes}:
        encoded = [element.encode("utf-8", "surrogatepass") if isinstance(element, str) else element for element in flat]
        return Tensor(name, "BYTES", shape, encoded)
    return None
