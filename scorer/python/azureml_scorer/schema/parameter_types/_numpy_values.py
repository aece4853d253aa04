"""Values of parsed JSON on their way into a numpy array."""

import numpy as np

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, brief, expected, step

_UNITS = {
    "years": "Y",
    "months": "M",
    "weeks": "W",
    "days": "D",
    "hours": "h",
    "minutes": "m",
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    "picoseconds": "ps",
    "femtoseconds": "fs",
    "attoseconds": "as",
}


def prepared(values, dtype):
    """The list with what numpy does not read from JSON by itself: records, dates, time spans."""
    if dtype.names is None and dtype.kind not in "mM":
        return values
    return [_at(index, _prepare, value, dtype) for index, value in enumerate(values)]


def _at(key, function, *arguments):
    try:
        return function(*arguments)
    except SchemaViolation as violation:
        violation.within(key)
        raise


def _prepare(value, dtype):
    if dtype.names is not None:
        return _record(value, dtype)
    if dtype.kind not in "mM":
        return value
    if isinstance(value, list):
        return [_at(index, _prepare, item, dtype) for index, item in enumerate(value)]
    try:
        return np.datetime64(value) if dtype.kind == "M" else _span(value)
    except UNREADABLE as error:
        raise SchemaViolation(brief(error)) from error


def _record(value, dtype):
    """One record, from an object by name or from an array by position."""
    if isinstance(value, dict):
        keys = dtype.names
        missing = [name for name in keys if name not in value]
    elif isinstance(value, (list, tuple)):
        keys = range(len(dtype.names))
        missing = dtype.names[len(value) :]
    else:
        raise expected(dict, value)
    if missing:
        raise SchemaViolation(f"has no {', '.join(map(repr, missing))}")
    return tuple(_at(key, _prepare, value[key], dtype[name]) for key, name in zip(keys, dtype.names))


def _span(text):
    """A time span, written as ``5 days``."""
    value, unit = text.split(None, 1) if len(text.split(None, 1)) == 2 else (None, "")
    if unit.lower() not in _UNITS:
        raise ValueError(f"{text!r:.80} is not a time span; write it as '5 days', with one of {', '.join(_UNITS)}")
    return np.timedelta64(int(value), _UNITS[unit.lower()])


def offence(values, dtype, error):
    """The violation behind ``error`` of ``np.array(values, dtype)``, at the value that causes it."""
    index = first_bad(len(values), lambda count: _fits(values[:count], dtype))
    if index is None:
        return SchemaViolation(brief(error))
    value = values[index]
    if dtype is not None and dtype.names is not None:
        for name, part in zip(dtype.names, value):
            if not _fits(part, dtype[name]):
                return SchemaViolation(brief(error), step(index) + step(name))
    elif not _fits(value, dtype):
        if isinstance(value, list):
            return offence(value, dtype, error).within(index)
        return SchemaViolation(brief(error), step(index))
    # It is well by itself: it differs in shape from those before.
    return SchemaViolation(f"has shape {_shape(value)}, those before have {_shape(values[0])}", step(index))


def _shape(value):
    return np.shape(value) if isinstance(value, list) else ()


def _fits(values, dtype):
    try:
        np.array(values, dtype=dtype)
    except UNREADABLE:
        return False
    return True


def first_bad(count, fits):
    """Index of the first value that does not fit, by halving; None if all fit."""
    if fits(count):
        return None
    low, high = 0, count
    # The first `low` values fit, the first `high` do not.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return high - 1
