"""``input_schema`` and ``output_schema``."""

import copy
import functools
import inspect

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, brief, expected
from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType
from azureml_scorer.schema.schema_util import declared_of, undecorated


def input_schema(param_name, param_type, convert_to_provided_type=True, optional=False):
    """Declares the type of one parameter.

    Arguments are converted to it when the function is called, unless ``convert_to_provided_type`` is off. With
    ``optional``, an argument that is absent or empty reaches the function as it is.
    """
    _check(param_type, f"input_schema({param_name!r})")
    schema = param_type.input_to_swagger()
    versions = param_type.supported_versions()

    def decorate(function):
        base = undecorated(function)
        names = inspect.getfullargspec(base)
        if param_name not in names.args and param_name not in names.kwonlyargs and not names.varkw and not optional:
            raise TypeError(
                f"input_schema({param_name!r}): the function {base.__name__}() has no parameter of that name; "
                f"it has {', '.join(names.args + names.kwonlyargs) or 'none'}"
            )
        declared = declared_of(base)
        _declare_input(declared, names.args, param_name, schema)
        declared.versions["input_schema"] = versions
        if not convert_to_provided_type:
            return function
        position = names.args.index(param_name) if param_name in names.args else None
        return _converting(function, param_name, param_type, position, optional)

    return decorate


def output_schema(output_type):
    """Declares the type of the result. The result itself is not touched."""
    _check(output_type, "output_schema()")
    schema = output_type.input_to_swagger()
    versions = output_type.supported_versions()

    def decorate(function):
        base = undecorated(function)
        declared = declared_of(base)
        if "output_schema" in declared.schemas:
            raise TypeError(f"output_schema(): the function {base.__name__}() has one already; remove one of them")
        declared.schemas["output_schema"] = schema
        declared.versions["output_schema"] = versions
        return function

    return decorate


def _check(param_type, where):
    if not isinstance(param_type, AbstractParameterType):
        raise TypeError(
            f"{where}: expected a parameter type such as StandardPythonParameterType(sample), "
            f"got {type(param_type).__name__}"
        )


def _declare_input(declared, names, param_name, schema):
    whole = declared.schemas.get("input_schema")
    if whole is None:
        # Parameters without a declaration of their own are in the document, too.
        whole = {"type": "object", "properties": {name: {} for name in names}, "example": dict.fromkeys(names, "")}
        declared.schemas["input_schema"] = whole
    schema = copy.deepcopy(schema)
    whole["example"][param_name] = schema.pop("example")
    whole["properties"][param_name] = schema


def _converting(function, param_name, param_type, position, optional):
    """``function`` with one argument converted."""

    def converted(args, kwargs):
        if param_name in kwargs:
            if not optional or kwargs[param_name]:
                kwargs[param_name] = _argument(kwargs[param_name], param_type, param_name)
        elif not optional and position is not None and position < len(args) and not _is_text_generation(args):
            args = list(args)
            args[position] = _argument(args[position], param_type, param_name)
        return args

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            return await function(*converted(args, kwargs), **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*converted(args, kwargs), **kwargs)

    return wrapper


def _is_text_generation(args):
    """Payloads of the ready-made text generation models pass as they are."""
    return bool(args) and type(args[0]) is dict and args[0].keys() == {"input_string", "parameters"}


def _argument(value, param_type, name):
    try:
        return convert(value, param_type)
    except SchemaViolation as violation:
        violation.path = name + violation.path
        raise


def convert(value, param_type):
    """``value`` as ``param_type`` wants it; nested types are converted inside their objects and arrays.

    Objects are changed in place. The path of a violation grows while it passes upwards, so that good data pay nothing.
    """
    wanted = param_type.sample_data_type
    if wanted is dict and hasattr(param_type, "sample_data_type_map"):
        if not isinstance(value, dict):
            raise expected(wanted, value)
        for key, inner in param_type.sample_data_type_map.items():
            if key in value:
                try:
                    value[key] = convert(value[key], inner)
                except SchemaViolation as violation:
                    violation.within(key)
                    raise
        return value
    if wanted in (list, tuple) and hasattr(param_type, "sample_data_type_list"):
        if not isinstance(value, (list, tuple)):
            raise expected(wanted, value)
        return _items(value, param_type.sample_data_type_list)
    if isinstance(value, wanted):
        return value
    try:
        return param_type.deserialize_input(value)
    except SchemaViolation:
        raise
    except Exception as error:
        # Types of the script's own raise what they like for data that they cannot read.
        if isinstance(error, UNREADABLE) or type(error) is Exception:
            raise SchemaViolation(brief(error)) from error
        raise


def _items(values, types):
    """Arrays have one type of item, that of the first declared one."""
    if not types:
        return values
    converted = []
    for value in values:
        try:
            converted.append(convert(value, types[0]))
        except SchemaViolation as violation:
            violation.within(len(converted))
            raise
    return converted
