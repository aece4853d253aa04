"""A user's score script: how its ``run`` is called, and what becomes of what it returns."""

import contextlib
import json
import logging
import sys
import time

from azureml_scorer import inputs, jsontext, loading, logs, results, schema
from azureml_scorer.deadline import ScoringTimeout
from azureml_scorer.loading import LoadError

_log = logging.getLogger("azmlinfsrv")
_script_log = logging.getLogger("azmlinfsrv.user_script")

FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
_INTERNAL = "An unexpected internal error occurred. Check the logs for more info."
_NOTHING = contextlib.nullcontext()
# Code flags of coroutine and async generator functions.
_ASYNC = 0x80 | 0x200


class Script:
    """A loaded score script after ``init()``.

    ``plain`` is ``run`` itself if it only wants the body's text. ``raw`` says that it wants every method.
    """

    def __init__(self, settings):
        self._strict = settings.strict
        inputs.decoded = not settings.strict
        self.dumps = jsontext.encoder(settings.nan, settings.strict)
        loaded = loading.load(settings)
        self._path, self.run = loaded.path, loaded.run
        data, self._wants_headers = loading.parameters(loaded.path, loaded.run)
        self.raw = _raw_requested()
        self.decorated = schema.known_to(loaded.run) is not None
        self.is_async = _is_async(loaded.run)
        self._context = None
        self._input = self._choose_input(data)
        loading.initialise(loaded, settings)
        if "flask" in sys.modules:
            from azureml_scorer import wsgi

            self._context = wsgi.context
        self.plain = self._choose_plain(data)
        self.batch = getattr(loaded.run, "azureml_batch", None)
        if self.batch:
            self._take_batches(loaded.run, data)

    def _choose_input(self, data):
        if self.raw and self.decorated:
            raise LoadError("invalid_script", f"{self._path}: run() cannot be decorated with both @rawhttp and @input_schema")
        if self.decorated:
            names = ", ".join(parameter.name for parameter in data)
            _script_log.info("run() is decorated with @input_schema. Server will invoke it with the following arguments: %s.", names)
            return inputs.Fields(data)
        missing = [parameter.name for parameter in data[1:] if parameter.required]
        if missing and not self._strict:
            message = f"run() needs a value for {', '.join(missing)} too, but without @input_schema it gets only {data[0].name}"
            raise LoadError("invalid_script", f"{self._path}: {message}")
        if self.raw:
            _script_log.info("run() is decorated with @rawhttp. Server will invoke it with the flask request object.")
            return inputs.Raw(data, _raw_request)
        _script_log.info("run() is not decorated. Server will invoke it with the input in JSON string.")
        return inputs.Text(data, self._strict)

    def _choose_plain(self, data):
        if self.raw or self.decorated or self.is_async or self._wants_headers or self._context or self._strict:
            return None
        if not data[0].keyword_only:
            return self.run
        run, name = self.run, data[0].name
        return lambda text: run(**{name: text})

    def _take_batches(self, run, data):
        """``run_batch`` takes a list of texts; ``run`` one of them, for requests that do not come in batches."""
        if self.raw or self.decorated or self.is_async or self._wants_headers:
            message = "the run(rows) of a @batch takes a list of texts and nothing else: no schema, headers, raw request or async"
            raise LoadError("invalid_script", f"{self._path}: {message}")
        name = data[0].name

        def run_alone(**arguments):
            (value,) = run([arguments[name]])
            if isinstance(value, BaseException):
                raise value
            return value

        self.run_batch, self.run, self.plain = run, run_alone, None

    def answer(self, request):
        """Answers a request for which the core does not call ``plain`` itself."""
        if request.kind == "infer":
            from azureml_scorer import v2

            v2.answer(self, request)
            return
        arguments = self._arguments(request)
        if arguments is None:
            return
        with self.surroundings(request) as context:
            if context is not None and self.raw:
                arguments = self.with_headers(request, {next(iter(arguments)): context.request})
            self.result(request, request.call(self.run, (), arguments))

    def surroundings(self, request):
        """Flask's request context for a script that uses Flask."""
        return _NOTHING if self._context is None else self._context(request)

    async def answer_async(self, request):
        """Answers a request in an event loop, for an ``async def run``."""
        if request.kind == "infer":
            from azureml_scorer import v2

            await v2.answer_async(self, request)
            return
        arguments = self._arguments(request)
        if arguments is None:
            return
        with self.surroundings(request):
            await self._run_async(request, arguments)

    async def _run_async(self, request, arguments):
        started = time.perf_counter()
        value = self.run(**arguments)
        if hasattr(type(value), "__await__"):
            value = await value
        if hasattr(type(value), "__anext__"):
            from azureml_scorer import streams

            await streams.send_async(request, value, started)
        else:
            request.ran(time.perf_counter() - started)
            self.result(request, value)

    def _arguments(self, request):
        """The arguments of ``run``; None if the request is answered already."""
        if request.method not in ("GET", "POST") and not self.raw:
            if request.method == "OPTIONS":
                request.reply(200, [("content-type", results.TEXT)], b"", False)
            else:
                self._refuse(request, 405, "Method not allowed")
            return None
        try:
            return self.with_headers(request, self._input.arguments(request))
        except inputs.BadInput as error:
            self._refuse(request, error.status, str(error))
            return None

    def with_headers(self, request, arguments):
        if self._wants_headers:
            arguments["request_headers"] = inputs.titled(request)
        return arguments

    def _refuse(self, request, status, message, failed=False):
        request.reply(status, None, json.dumps({"message": message}), failed)

    def result(self, request, value):
        """Sends what ``run`` has returned."""
        try:
            results.answer(request, value, self.dumps, self._strict)
        except results.BrokenStream as error:
            self.failed(request, error.__cause__)
        except Exception as error:
            _log.error("The result of run() cannot be sent: %s: %s", type(error).__name__, error)
            # The original took this for an error of its own.
            self._refuse(request, 500, _INTERNAL if self._strict else FAILED, not self._strict)

    def failed(self, request, error):
        """Answers for an exception out of user code; ``SystemExit`` too: one request must not end the server for all."""
        if isinstance(error, ScoringTimeout):
            _log.error("run() was stopped at its time-out")
            # As the core does, which mostly is first.
            self._refuse(request, 500 if self._strict else 504, f"Scoring timeout after {request.timeout_ms} ms", True)
            return
        if self.decorated and not self._strict:
            from azureml_scorer.schema.errors import violation_in

            violation = violation_in(error)
            if violation is not None:
                self._refuse(request, 400, f"The request does not fit the schema of run(): {violation}")
                return
        _log.error("Encountered Exception: %s", loading.user_traceback(error))
        self._refuse(request, 500, FAILED, True)

    def flush_prints(self):
        """Writes what the request has printed without a line end."""
        logs.flush_prints()


def _raw_requested():
    """Whether ``@rawhttp`` was used anywhere in the process, as in the original: ours, or the original's own."""
    names = ("azureml_scorer.aml_request", "azureml_inference_server_http.api.aml_request", "azureml.contrib.services.aml_request")
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in names)


def _raw_request(request):
    from azureml_scorer import wsgi

    return wsgi.raw_request(request)


def _is_async(run):
    while hasattr(run, "__wrapped__"):
        run = run.__wrapped__
    code = getattr(run, "__code__", None) or getattr(getattr(type(run), "__call__", None), "__code__", None)
    return code is not None and bool(code.co_flags & _ASYNC)
