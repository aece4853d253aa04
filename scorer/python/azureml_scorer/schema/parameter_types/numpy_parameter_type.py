"""Parameters that are numpy arrays."""

import numpy as np

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, expected, step
from azureml_scorer.schema.parameter_types import _numpy_values
from azureml_scorer.schema.parameter_types._samples import sample
from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType

_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_FORMATS = {
    **{name: {"type": "integer", "format": name} for name in _INTEGERS},
    "bool": {"type": "boolean"},
    "float16": {"type": "number", "format": "float"},
    "float32": {"type": "number", "format": "float"},
    "float64": {"type": "number", "format": "double"},
    "object": {"type": "object"},
}
_PREFIXES = (
    ("datetime", {"type": "string", "format": "date-time"}),
    ("timedelta", {"type": "string", "format": "timedelta"}),
    ("str", {"type": "string"}),
    ("bytes", {"type": "string", "format": "binary"}),
    ("void", {"type": "string", "format": "binary"}),
)


class NumpyParameterType(AbstractParameterType):
    """A numpy array.

    With ``enforce_column_type`` it gets the sample's dtype, with ``enforce_shape`` all its dimensions but the first
    must be those of the sample.
    """

    def __init__(self, sample_input, enforce_column_type=True, enforce_shape=True):
        if not isinstance(sample_input, np.ndarray):
            raise TypeError(f"NumpyParameterType: the sample must be a numpy array, not {type(sample_input).__name__}")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data):
        """An array of the nested lists."""
        if isinstance(input_data, np.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise expected(list, input_data)
        dtype = self.sample_input.dtype if self.enforce_column_type else None
        values = input_data if dtype is None else _numpy_values.prepared(input_data, dtype)
        try:
            array = np.array(values, dtype=dtype)
        except UNREADABLE as error:
            raise _numpy_values.offence(values, dtype, error) from error
        if self.enforce_shape:
            self._check_shape(array)
        return array

    def _check_shape(self, array):
        wanted = self.sample_input.shape
        if array.ndim != len(wanted):
            raise SchemaViolation(f"expected {len(wanted)} dimensions, got {array.ndim} (shape {array.shape})")
        for dimension in range(1, len(wanted)):
            if array.shape[dimension] != wanted[dimension]:
                path = step(0) * dimension if array.size else ""
                raise SchemaViolation(f"expected {wanted[dimension]} values, got {array.shape[dimension]}", path)

    def input_to_swagger(self):
        """The schema of the sample array."""
        if not self.sample_input.shape:
            raise TypeError("NumpyParameterType: the sample must have at least one dimension, as np.array([1.5])")
        schema = _nested(_schema(self.sample_input.dtype), self.sample_input.shape)
        schema["example"] = [sample(schema["items"], item) for item in self.sample_input]
        schema["format"] = "numpy.ndarray"
        return schema


def _schema(dtype):
    if dtype.names is not None:
        return {"type": "object", "properties": {name: _schema(dtype[name]) for name in dtype.names}}
    if dtype.subdtype is not None:
        item, shape = dtype.subdtype
        return _nested(_schema(item), shape)
    name = dtype.name.lower()
    found = _FORMATS.get(name) or next((schema for prefix, schema in _PREFIXES if name.startswith(prefix)), None)
    if found is None:
        raise TypeError(f"NumpyParameterType: no schema for data of type {name}; convert the sample")
    return dict(found)


def _nested(item, shape):
    for _ in shape:
        item = {"type": "array", "items": item}
    return item
