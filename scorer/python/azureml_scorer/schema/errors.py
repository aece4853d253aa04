"""What a request gets whose data do not have the shape that the script declared."""

import sys

# Longest text of a foreign error that goes into an answer.
_LONGEST = 300
# What conversion code raises for data that it cannot read.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


class SchemaViolation(ValueError):
    """Data of a request cannot be converted to the declared type.

    ``path`` leads to the offending value, as in ``data[2].age``; ``reason`` says what is wrong with it.
    """

    def __init__(self, reason, path=""):
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self):
        return f"{self.path}: {self.reason}" if self.path else self.reason

    def within(self, key):
        """The same violation as seen from the object or array that holds the value under ``key``."""
        self.path = step(key) + self.path
        return self


def step(key):
    """One step of a path: ``[2]``, ``.age`` or ``["home town"]``."""
    if isinstance(key, int):
        return f"[{key}]"
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    return '["' + str(key).replace("\\", "\\\\").replace('"', '\\"') + '"]'


_KINDS = {
    dict: "an object",
    list: "an array",
    tuple: "an array",
    range: "an array",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def kind(cls):
    """A Python type in the words of JSON."""
    return _KINDS.get(cls) or f"a {cls.__name__}"


def expected(cls, value):
    """The violation of a value that has another type than ``cls``."""
    return SchemaViolation(f"expected {kind(cls)}, got {kind(type(value))}")


def brief(error):
    """The text of a foreign error on one line, cut."""
    if isinstance(error, KeyError) and error.args:
        return f"there is no {error.args[0]!r}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def violation_in(error):
    """The violation that ``error`` is, or stands for.

    The decorators of an installed ``inference_schema`` raise whatever the conversion raised. Such an error is told
    from one of ``run()`` itself by the conversion's frames in its traceback, which also hold the path.
    """
    if isinstance(error, SchemaViolation):
        return error
    package = sys.modules.get("inference_schema.schema_decorators")
    convert = getattr(getattr(package, "_deserialize_input_argument", None), "__code__", None)
    if convert is None or not (isinstance(error, UNREADABLE) or type(error) is Exception):
        return None
    calls = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is convert:
            calls.append(trace.tb_frame.f_locals)
        trace = trace.tb_next
    if not calls:
        return None
    path = calls[0].get("param_name", "")
    for outer, inner in zip(calls, calls[1:]):
        path += _step_between(outer, inner)
    return SchemaViolation(brief(error), path)


def _step_between(outer, inner):
    """The step of a path from one call of the installed conversion to the one inside it, by their local variables."""
    if outer.get("sample_data_type") not in (list, tuple):
        return step(inner.get("param_name"))
    items, item = outer.get("input_data"), inner.get("input_data")
    index = next((index for index, value in enumerate(items) if value is item), None)
    return "" if index is None else step(index)
