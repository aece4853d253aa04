"""Schemas of standard Python values. Each holds its own sample as ``example``."""

import base64
from datetime import date, datetime, time, timezone

from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType

DATE = "%Y-%m-%d"
DATE_TIME = "%Y-%m-%d %H:%M:%S.%f %z"
TIME = "%H:%M:%S.%f %z"


def describe(value):
    """The schema of any value; what has none of its own is an object."""
    if isinstance(value, AbstractParameterType):
        return value.input_to_swagger()
    builder = _BUILDERS.get(type(value))
    return builder(value) if builder else {"type": "object", "example": value}


def describe_array(values):
    """An array's items have the schema of its last one."""
    items, example = {"type": "object"}, []
    for value in values:
        items = describe(value)
        example.append(items.pop("example"))
    return {"type": "array", "items": items, "example": example}


def describe_object(fields):
    """All fields of the sample are required."""
    properties, example = {}, {}
    for name, value in fields.items():
        schema = describe(value)
        example[name] = schema.pop("example")
        properties[name] = schema
    return {"type": "object", "required": list(fields), "properties": properties, "example": example}


def _zoned(value):
    """Times without a zone are taken as UTC."""
    return value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)


def _base64(value):
    return {"type": "string", "format": "byte", "example": base64.b64encode(value).decode()}


def _plain(kind, form=None):
    fixed = {"type": kind, "format": form} if form else {"type": kind}
    return lambda value: {**fixed, "example": value}


def _formatted(form, pattern, prepare=lambda value: value):
    return lambda value: {"type": "string", "format": form, "example": prepare(value).strftime(pattern)}


_BUILDERS = {
    int: _plain("integer", "int64"),
    float: _plain("number", "double"),
    bool: _plain("boolean"),
    str: _plain("string"),
    bytes: _base64,
    bytearray: _base64,
    date: _formatted("date", DATE),
    datetime: _formatted("date-time", DATE_TIME, _zoned),
    time: _formatted("time", TIME, _zoned),
    list: describe_array,
    tuple: describe_array,
    range: describe_array,
    dict: describe_object,
}
