"""Finds and imports a user's score script, and reads the signature of its ``run``."""

import importlib.util
import logging
import os
import sys
import traceback
from collections import namedtuple
from types import FunctionType, ModuleType

_log = logging.getLogger("azmlinfsrv.user_script")

# Most lines of the model directory that are logged when init() fails.
_LISTED = 200


class LoadError(Exception):
    """The script cannot be served. ``reason`` is a stable name, the text says file, line and message."""

    def __init__(self, reason, message, trace=None):
        super().__init__(message)
        self.reason = reason
        self.trace = trace


Loaded = namedtuple("Loaded", "path init run")
# ``data`` are the parameters for the request's data: pairs of name and whether it has a default, and the default.
Parameter = namedtuple("Parameter", "name keyword_only required default")


def load(settings):
    """Imports the script; its path, ``init`` and ``run``."""
    if not settings.entry_script:
        return _functions(_import_main(settings))
    path = os.path.abspath(os.path.join(settings.app_root, settings.entry_script))
    if not os.path.isfile(path):
        raise LoadError("start_failed", f"{path}: there is no such score script (AZUREML_ENTRY_SCRIPT is relative to AML_APP_ROOT)")
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None:
        raise LoadError("start_failed", f"{path}: the name of a score script must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise LoadError("import_failed", place(error, path), user_traceback(error)) from error
    return _functions(module)


def _import_main(settings):
    try:
        return importlib.import_module("main")
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "main":
            found = os.listdir(settings.app_root) if os.path.isdir(settings.app_root) else "which is no directory"
            message = f"No score script found. Expected score script main.py in AML_APP_ROOT {settings.app_root}: {found}"
            raise LoadError("start_failed", message) from None
        raise LoadError("import_failed", place(error, os.path.join(settings.app_root, "main.py")), user_traceback(error)) from error


def _functions(module):
    path = module.__file__
    run, init = getattr(module, "run", None), getattr(module, "init", None)
    for name, function in (("init", init), ("run", run)):
        if not callable(function):
            raise LoadError("invalid_script", f"{path}: the score script has no function {name}()")
    # A generated script around the real one: its run() only passes on, its init() does more.
    inner = getattr(module, "driver_module", None)
    if isinstance(inner, ModuleType) and hasattr(inner, "run"):
        run = inner.run
        _log.info("Found driver script at %s and the score script at %s", path, getattr(inner, "__file__", inner.__name__))
    else:
        _log.info("Found user script at %s", path)
    _import_flask(module)
    return Loaded(path, init, run)


def _import_flask(module):
    """Imports Flask for a script that does so only inside ``run``: it needs a request context from the first request."""
    if "flask" in sys.modules:
        return
    try:
        with open(module.__file__, encoding="utf-8", errors="replace") as file:
            mentioned = "flask" in file.read()
        if mentioned and importlib.util.find_spec("flask") is not None:
            importlib.import_module("flask")
    except (OSError, ImportError, ValueError):
        pass


def parameters(path, run):
    """The data parameters of ``run``, and whether it wants the request's headers beside them."""
    found = _of_function(run) if type(run) is FunctionType and not hasattr(run, "__wrapped__") else _of_callable(path, run)
    if found is None or any(parameter.keyword_only is None for parameter in found):
        raise LoadError("invalid_script", f"{path}: run() cannot accept positional-only arguments, *args, or **kwargs.{_signature_of(run)}")
    data = [parameter for parameter in found if parameter.name != "request_headers"]
    if not data:
        needs = 'an argument other than "request_headers"' if found else "an argument for input data"
        raise LoadError("invalid_script", f"{path}: run() needs to accept {needs}.")
    return data, len(data) < len(found)


def _signature_of(run):
    import inspect

    return f" It is run{inspect.signature(run)}"


def _of_function(run):
    """Parameters of an ordinary function; None if one is of an unusable kind. Without ``inspect``, which loads slowly."""
    code = run.__code__
    if code.co_posonlyargcount or code.co_flags & 0x0C:
        return None
    count = code.co_argcount
    names, defaults = code.co_varnames, run.__defaults__ or ()
    first = count - len(defaults)
    found = [Parameter(names[at], False, at < first, None if at < first else defaults[at - first]) for at in range(count)]
    given = run.__kwdefaults__ or {}
    for name in names[count : count + code.co_kwonlyargcount]:
        found.append(Parameter(name, True, name not in given, given.get(name)))
    return found


def _of_callable(path, run):
    import inspect

    try:
        known = inspect.signature(run).parameters.values()
    except (TypeError, ValueError) as error:
        raise LoadError("invalid_script", f"{path}: the parameters of run() cannot be read: {error}") from None
    usable = {inspect.Parameter.POSITIONAL_OR_KEYWORD: False, inspect.Parameter.KEYWORD_ONLY: True}
    empty = inspect.Parameter.empty
    return [Parameter(one.name, usable.get(one.kind), one.default is empty, None if one.default is empty else one.default) for one in known]


def initialise(loaded, settings):
    """Runs ``init()``."""
    _log.info("Invoking user's init function")
    try:
        loaded.init()
    except BaseException as error:
        _list_models(settings)
        raise LoadError("init_failed", f"User's init function failed: {place(error, loaded.path)}", user_traceback(error)) from error
    _log.info("Users's init has completed successfully")


def _list_models(settings):
    """Logs what the model directory holds: most failures of ``init()`` are a path that is not there."""
    root = settings.model_dir
    if not root or not os.path.isdir(root):
        return
    log = logging.getLogger("azmlinfsrv")
    log.info("Model Directory Contents:")
    for count, line in enumerate(_tree(os.path.normpath(root), 0)):
        if count == _LISTED:
            log.info("Output Truncated. First %s lines shown.", _LISTED)
            return
        log.info("%s", line)


def _tree(path, depth):
    name = f"{'    ' * depth}{os.path.basename(path) or path}"
    # A link to a folder could lead back here.
    if not os.path.isdir(path) or depth and os.path.islink(path):
        yield name
        return
    yield f"{name}{os.sep}"
    try:
        inside = sorted(os.listdir(path))
    except OSError as error:
        yield f"{'    ' * (depth + 1)}({error.strerror})"
        return
    for child in inside:
        yield from _tree(os.path.join(path, child), depth + 1)


def place(error, path):
    """File, line and message of an exception, at the innermost line of the script."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if not inside:
        return f"{path}: {text}"
    return f"{path}, line {inside[-1].lineno}: {text}"


_OURS = (os.path.dirname(__file__) + os.sep, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def user_traceback(error):
    """The traceback without the frames of this server that lead to user code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))
