"""Loads a user's score script and runs it: input and output conventions of the original server."""

import importlib.util
import inspect
import json
import logging
import os
import re
import signal
import sys
import traceback
import urllib.parse

from azureml_scorer import _core
from azureml_scorer.aml_response import AMLResponse

_log = logging.getLogger("azmlinfsrv")

JSON = "application/json"
TEXT = "text/html; charset=utf-8"
FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


class LoadError(Exception):
    """The script cannot be served. ``reason`` is a stable name, the text says file, line and message."""

    def __init__(self, reason, message, trace=None):
        super().__init__(message)
        self.reason = reason
        self.trace = trace


class ScoringTimeout(BaseException):
    """Raised in user code by the deadline; not an ``Exception``, so that a broad ``except`` lets it through."""


def _place(error, path):
    """File, line and message of an exception, at the innermost line of the script."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    inside = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if not inside:
        return f"{path}: {text}"
    return f"{path}, line {inside[-1].lineno}: {text}"


def _traceback(error):
    """The traceback without the frames of this server."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


class Script:
    """A loaded score script after ``init()``."""

    def __init__(self, app_root, entry_script):
        self._path = os.path.abspath(os.path.join(app_root, entry_script))
        module = self._load()
        inner = getattr(module, "driver_module", None)
        self._run = getattr(inner, "run", None) or getattr(module, "run", None)
        init = getattr(module, "init", None)
        for name, function in (("init", init), ("run", self._run)):
            if not callable(function):
                raise LoadError("invalid_script", f"{self._path}: the score script has no function {name}()")
        self._parameter, self._keyword_only, self._wants_headers = self._signature()
        try:
            init()
        except BaseException as error:
            raise LoadError("init_failed", f"init() failed: {_place(error, self._path)}", _traceback(error)) from error

    def _load(self):
        if not os.path.isfile(self._path):
            raise LoadError("start_failed", f"{self._path}: there is no such score script")
        spec = importlib.util.spec_from_file_location("entry_module", self._path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["entry_module"] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            raise LoadError("import_failed", _place(error, self._path), _traceback(error)) from error
        return module

    def _signature(self):
        """Name of the data parameter, and whether the request's headers are wanted beside it."""
        parameters = list(inspect.signature(self._run).parameters.values())
        unusable = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        for parameter in parameters:
            if parameter.kind in unusable:
                raise LoadError("invalid_script", f"{self._path}: run() may not have the parameter {str(parameter)!r}")
        names = [parameter.name for parameter in parameters]
        data = [name for name in names if name != "request_headers"]
        if not data:
            raise LoadError("invalid_script", f"{self._path}: run() must have a parameter for the request's data")
        keyword_only = any(one.name == data[0] and one.kind == one.KEYWORD_ONLY for one in parameters)
        return data[0], keyword_only, "request_headers" in names

    @property
    def plain(self):
        """``run`` where it takes the body's text and nothing else."""
        return None if self._wants_headers else self._by_name() if self._keyword_only else self._run

    def _by_name(self):
        return lambda text: self._run(**{self._parameter: text})

    def dumps(self, value):
        """JSON text of a result."""
        return json.dumps({} if value is None else value)

    def answer(self, request):
        """Runs any request."""
        try:
            arguments = {self._parameter: _query(request.query) if request.method == "GET" else request.text}
        except UnicodeDecodeError as error:
            return request.reply(400, None, _body(f"The request body is not UTF-8 text: invalid byte at {error.start}"), False)
        if self._wants_headers:
            arguments["request_headers"] = {name.title(): value for name, value in request.headers()}
        self.result(request, request.call(self._run, (), arguments))

    def result(self, request, value):
        """Answers with a result."""
        try:
            status, headers, content, failed = _render(value)
        except Exception as error:
            _log.error("the result of run() cannot be sent: %s: %s", type(error).__name__, error)
            return request.reply(500, None, _body(FAILED), True)
        request.reply(status, headers, content, failed)

    def failed(self, request, error):
        """Answers for an exception of user code; ``SystemExit`` too: one request must not end the server for all others."""
        if isinstance(error, ScoringTimeout):
            _log.error("run() was stopped at its time-out")
        else:
            _log.error("run() failed:\n%s", _traceback(error))
        request.reply(500, None, _body(FAILED), True)

    def flush_prints(self):
        """Writes what the request printed without a line end."""
        sys.stdout.flush()
        sys.stderr.flush()


def _query(query):
    """The query as JSON text; values that are JSON are taken as such, repeated names become lists."""
    values = {}
    for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        values.setdefault(name, []).append(value)
    return json.dumps({name: found[0] if len(found) == 1 else found for name, found in values.items()})


def _body(message):
    return json.dumps({"message": message}).encode()


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The server frames its answers itself.
_FRAMING = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}


def _render(result):
    if isinstance(result, AMLResponse):
        return _response(result)
    if isinstance(result, (bytes, bytearray, memoryview)):
        return 200, [("content-type", "application/octet-stream")], bytes(result), False
    # No headers: the core knows those of JSON.
    return 200, None, json.dumps({} if result is None else result).encode(), False


def _response(result):
    if result.json_str:
        content, kind = json.dumps(result.message).encode(), JSON
    else:
        message = result.message
        content = bytes(message) if isinstance(message, (bytes, bytearray)) else str(message).encode()
        kind = TEXT
    if not 200 <= result.status_code <= 599:
        raise ValueError(f"the status code {result.status_code} is not between 200 and 599")
    headers = {"content-type": kind}
    headers.update({str(name).lower(): str(value) for name, value in result.response_headers.items()})
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"the response header name {name!r} is not valid")
        if any(character in value for character in "\r\n\0"):
            raise ValueError(f"the response header {name!r} has a line break")
    sent = [(name, value) for name, value in headers.items() if name not in _FRAMING]
    return result.status_code, sent, content, bool(result.run_function_failed or result.status_code >= 500)


def _stop(_signal, _frame):
    if _core.overdue():
        raise ScoringTimeout


def prepare():
    """What user code finds: the deadline raises in it, Ctrl-C is the server's, and a child that it forks does not serve."""
    signal.signal(signal.SIGALRM, _stop)
    os.register_at_fork(after_in_child=_core.forked)
