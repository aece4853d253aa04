"""Where in the request's JSON the value is that a data frame could not take."""

import pandas as pd

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, brief, step
from azureml_scorer.schema.parameter_types._numpy_values import first_bad


def is_span(kind):
    """Whether a column's type is a time span."""
    return str(kind).startswith("timedelta")


def offence(frame, types, orient, data, error):
    """The violation behind ``error`` of typing ``frame``, at the first value of the first column that causes it."""
    for position, name in enumerate(frame.columns):
        wanted = types.get(name, object)
        column = frame.iloc[:, position]
        row = first_bad(len(column), lambda count: _fits(column.iloc[:count], wanted))
        if row is not None:
            reason = f"{column.iloc[row]!r:.80} cannot be {wanted}: {brief(error)}"
            return SchemaViolation(reason, _path(orient, data, frame, row, position))
    return SchemaViolation(brief(error))


def _fits(column, wanted):
    try:
        if is_span(wanted):
            column = pd.to_timedelta(column)
        column.astype(wanted)
    except UNREADABLE:
        return False
    return True


def _path(orient, data, frame, row, position):
    label = str(frame.columns[position])
    if orient == "columns" or (orient == "records" and isinstance(data, dict)):
        return step(label) + _in_column(data.get(label), row, frame.index[row])
    if orient == "records":
        return step(row) + step(label)
    if orient == "values":
        return step(row) + step(position)
    if orient == "split":
        return ".data" + step(row) + step(position)
    if orient == "table":
        return ".data" + step(row) + step(label)
    return _in_column(data, row, frame.index[row]) + step(label)


def _in_column(fields, place, label):
    """The step to a place in an array or an object. `label` is what pandas made of the field's name."""
    if not isinstance(fields, dict):
        return step(place)
    names = list(fields)
    return step(str(label) if str(label) in fields or place >= len(names) else names[place])
