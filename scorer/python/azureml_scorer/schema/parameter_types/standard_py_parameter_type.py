"""Parameters of standard Python types."""

import base64
import datetime
import json

from azureml_scorer.schema.errors import SchemaViolation, expected
from azureml_scorer.schema.parameter_types._describe import describe
from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType


class StandardPythonParameterType(AbstractParameterType):
    """A standard Python value; objects and arrays may hold other parameter types, which are converted, too."""

    def __init__(self, sample_input):
        super().__init__(sample_input)
        self.sample_data_type_map = {}
        self.sample_data_type_list = []
        if self.sample_data_type is dict:
            self.sample_data_type_map = {
                name: value for name, value in sample_input.items() if isinstance(value, AbstractParameterType)
            }
        elif self.sample_data_type in (list, tuple):
            self.sample_data_type_list = [item for item in sample_input if isinstance(item, AbstractParameterType)]
        self._read = _reader(self.sample_data_type)

    def deserialize_input(self, input_data):
        """The value itself, or what its text stands for: bytes in base64, dates and times."""
        if self._read is not None and not isinstance(input_data, self.sample_data_type):
            input_data = self._read(input_data)
        # An integer may stand for a number.
        if self.sample_data_type is float and type(input_data) is int:
            return input_data
        if not isinstance(input_data, self.sample_data_type):
            raise expected(self.sample_data_type, input_data)
        return input_data

    def input_to_swagger(self):
        """The schema of the sample."""
        if self.sample_input is None:
            raise ValueError("StandardPythonParameterType(None): a sample cannot be None; give a value of the type")
        schema = describe(self.sample_input)
        try:
            json.dumps(schema)
        except TypeError as error:
            raise TypeError(
                f"StandardPythonParameterType: the sample must consist of what JSON can express: {error}"
            ) from error
        return schema


def _reader(cls):
    """How text becomes a ``cls``, for types that JSON does not have."""
    if cls in (bytes, bytearray):
        return lambda text: cls(_from_base64(text))
    if not issubclass(cls, (datetime.date, datetime.time)):
        return None
    # Only where times are declared: it loads dateutil.
    from azureml_scorer.schema.parameter_types import _times

    readers = {
        datetime.date: _times.read_date,
        datetime.datetime: _times.read_datetime,
        datetime.time: _times.read_time,
    }
    return readers.get(cls)


def _from_base64(text):
    try:
        return base64.b64decode(text.encode())
    except (ValueError, AttributeError):
        raise SchemaViolation("expected bytes as a string in base64") from None
