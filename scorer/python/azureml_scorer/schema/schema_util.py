"""What is declared about which function, by module and name as ``inference_schema`` keeps it."""

import copy

ALL_SUPPORTED_VERSIONS = ["2.0", "3.0", "3.1"]


class Declared:
    """What the decorators of one function declare."""

    def __init__(self, function):
        self.function = function
        self.schemas = {}
        # Versions of Swagger that can express the schema, for "input_schema" and "output_schema".
        self.versions = {}


_functions = {}


def get_input_schema(func):
    """The schema of the decorated function's parameters."""
    return _schema(func, "input_schema")


def get_output_schema(func):
    """The schema of the decorated function's result."""
    return _schema(func, "output_schema")


def get_supported_versions(func):
    """The versions of Swagger that can express both schemas; all of them for a function without."""
    declared = _functions.get(_name(undecorated(func)))
    lists = [versions for versions in declared.versions.values() if versions] if declared else []
    if not lists:
        return list(ALL_SUPPORTED_VERSIONS)
    return sorted(set(lists[0]).intersection(*lists[1:]))


def get_schemas_dict():
    """A copy of all schemas, by the full name of the function."""
    return {name: copy.deepcopy(declared.schemas) for name, declared in _functions.items()}


def is_schema_decorated(func):
    """Whether a function, or the one that it wraps, has a schema."""
    return _name(undecorated(func)) in _functions


def declared_of(function):
    """The entry of an undecorated function; a function that was defined anew starts anew."""
    name = _name(function)
    declared = _functions.get(name)
    if declared is None or declared.function is not function:
        declared = _functions[name] = Declared(function)
    return declared


def undecorated(function):
    """The function below its decorators: through ``__wrapped__``, else through what a closure holds."""
    seen = set()
    while id(function) not in seen:
        seen.add(id(function))
        inner = getattr(function, "__wrapped__", None)
        if inner is None and _name(function) not in _functions:
            inner = _enclosed(function)
        if inner is None:
            break
        function = inner
    return function


def _enclosed(function):
    """The decorated function in the closure of a decorator that did not use ``functools.wraps``."""
    for cell in reversed(getattr(function, "__closure__", None) or ()):
        try:
            content = cell.cell_contents
        except ValueError:  # still empty
            continue
        if callable(content) and (getattr(content, "__wrapped__", None) or _name(content) in _functions):
            return content
    return None


def _name(function):
    return f"{getattr(function, '__module__', '<unknown>')}.{getattr(function, '__name__', '<unknown>')}"


def _schema(function, kind):
    declared = _functions.get(_name(undecorated(function)))
    return declared.schemas.get(kind, {"type": "object"}) if declared else {"type": "object"}
