"""Parameters that are Spark data frames."""

import base64
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType, UserDefinedType

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, brief, expected
from azureml_scorer.schema.parameter_types import _times
from azureml_scorer.schema.parameter_types._samples import sample
from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType

_SCHEMAS = {
    "byte": {"type": "integer", "format": "int8"},
    "short": {"type": "integer", "format": "int16"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "decimal": {"type": "number", "format": "decimal"},
    "string": {"type": "string"},
    "binary": {"type": "string", "format": "binary"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "null": {"type": "object"},
    "void": {"type": "object"},
}
_READERS = {
    "date": lambda text: _times.read_datetime(text).date(),
    "timestamp": _times.read_datetime,
    "decimal": Decimal,
    "binary": lambda text: bytearray(base64.b64decode(text.encode())),
}


class SparkParameterType(AbstractParameterType):
    """A Spark data frame, in JSON as an array of rows; with ``apply_sample_schema`` it gets the sample's schema."""

    def __init__(self, sample_input, apply_sample_schema=True):
        # With Spark Connect the frame is of another class.
        if not isinstance(sample_input, DataFrame):
            raise TypeError(
                f"SparkParameterType: expected a Spark DataFrame as sample, got {type(sample_input).__name__}"
            )
        super().__init__(sample_input)
        self.apply_sample_schema = apply_sample_schema

    def deserialize_input(self, input_data):
        """A data frame of the rows."""
        if isinstance(input_data, DataFrame):
            return input_data
        if not isinstance(input_data, list):
            raise expected(list, input_data)
        session = SparkSession.builder.getOrCreate()
        try:
            if not self.apply_sample_schema:
                return session.createDataFrame(input_data)
            schema = self.sample_input.schema
            rows = [_at(index, row, schema) for index, row in enumerate(input_data)]
            return session.createDataFrame(rows, schema=schema)
        except SchemaViolation:
            raise
        except UNREADABLE as error:
            raise SchemaViolation(brief(error)) from error

    def input_to_swagger(self):
        """The schema of the sample's rows."""
        items = _schema(self.sample_input.schema)
        rows = [sample(items, row) for row in self.sample_input.collect()]
        return {"type": "array", "items": items, "example": rows}


def _at(key, value, kind):
    try:
        return _prepared(value, kind)
    except SchemaViolation as violation:
        violation.within(key)
        raise
    except UNREADABLE as error:
        raise SchemaViolation(brief(error)).within(key) from error


def _prepared(value, kind):
    """A value of parsed JSON as Spark takes it: dates, decimals and bytes are text in JSON."""
    if value is None:
        return None
    if isinstance(kind, StructType):
        if not isinstance(value, dict):
            raise expected(dict, value)
        for name in kind.names:
            value[name] = _at(name, value[name], kind[name].dataType)
        return value
    name = kind.typeName()
    if name == "array":
        return [_at(index, item, kind.elementType) for index, item in enumerate(value)]
    if name == "map":
        return {key: _at(key, item, kind.valueType) for key, item in value.items()}
    read = _READERS.get(name)
    return read(value) if read else value


def _schema(kind):
    if isinstance(kind, UserDefinedType):
        raise TypeError(f"SparkParameterType: no schema for the user-defined type {kind}; use an array or a map")
    if isinstance(kind, StructType):
        return {"type": "object", "properties": {name: _schema(kind[name].dataType) for name in kind.names}}
    name = kind.typeName()
    if name == "array":
        return {"type": "array", "items": _schema(kind.elementType)}
    if name == "map":
        return {"type": "object", "additionalProperties": _schema(kind.valueType)}
    if name not in _SCHEMAS:
        raise TypeError(f"SparkParameterType: there is no schema for data of type {name}; cast the column to another")
    return dict(_SCHEMAS[name])
