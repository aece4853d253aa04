"""Samples of array-like data as JSON, by the schema of an item."""

import base64
from datetime import date, datetime


def sample(schema, item):
    """``item`` as JSON that fits its schema."""
    kind = schema["type"]
    if kind == "object":
        if "properties" in schema:
            return {name: sample(inner, item[name]) for name, inner in schema["properties"].items()}
        if "additionalProperties" in schema:
            return {name: sample(schema["additionalProperties"], item[name]) for name in item}
        return str(item)
    if kind == "array":
        return [sample(schema["items"], inner) for inner in item]
    if kind == "number":
        return float(item)
    if kind == "integer":
        return int(item)
    # A boolean's sample is text, "True" or "False", in the documents that clients know.
    return _TEXTS.get(schema.get("format"), str)(item) if kind == "string" else str(item)


def _moment(item):
    """A date or time of Python from one of numpy or pandas."""
    if isinstance(item, date):
        return item
    # Nanoseconds would become an integer.
    moment = item.astype("datetime64[us]").astype(datetime)
    if moment is None:
        raise ValueError("the sample holds NaT, which has no date: give a sample without missing dates")
    return moment


def _date(item):
    return _moment(item).strftime("%Y-%m-%d")


def _date_time(item):
    return _moment(item).strftime("%Y-%m-%d %H:%M:%S,%f")


_TEXTS = {"date": _date, "date-time": _date_time, "binary": lambda item: base64.b64encode(item).decode()}
