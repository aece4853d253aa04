"""The Open Inference Protocol, version 2: tensors in, tensors out, around a score script's ``run()``.

A script may have a function ``run_v2(inputs)`` of its own: ``inputs`` maps names to numpy arrays, or to nested lists
where the script does not use numpy; elements of BYTES are ``bytes``. Otherwise the tensors are made into what ``run()``
takes:

- With ``@input_schema``, a tensor becomes the parameter of its name; a single tensor goes to a single parameter whatever
  its name; and tensors of columns go to a single DataFrame parameter.
- Without, ``run()`` gets the JSON text of an object: ``{"data": [...]}`` for a single tensor, as the original's samples
  have it, and ``{"<name>": [...], ...}`` for several.

A dictionary that is returned is one output for each key; anything else is the output ``output-0``. What is no tensor
becomes its JSON text, as BYTES.
"""

import functools
import json
import logging
import os
import sys
import time

from azureml_scorer import loading

_log = logging.getLogger("azmlinfsrv")

EXTENSIONS = ["binary_tensor_data"]


class Refused(Exception):
    """A request that cannot be run; the text says what is wrong with it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def name():
    """(name, version) of the model that this server serves."""
    return os.environ.get("AZUREML_MODEL_NAME") or os.environ.get("SERVICE_NAME") or "model", os.environ.get("SERVICE_VERSION") or "1"


def documents(script):
    """What the core answers by itself: the metadata of the server and of the model."""
    from azureml_scorer import __version__

    model, version = name()
    inputs, outputs = [], []
    if script.decorated and _own(script) is None:
        from azureml_scorer import v2_schema

        inputs, outputs = v2_schema.tensors(script.run)
    server = {"name": "azureml-scorer", "version": __version__, "extensions": EXTENSIONS}
    described = {"name": model, "versions": [version], "platform": "azureml_score", "inputs": inputs, "outputs": outputs}
    return {"name": model, "version": version, "server": json.dumps(server), "model": json.dumps(described)}


def _own(script):
    """The script's own ``run_v2``, or None."""
    module = sys.modules.get(getattr(script, "module", "entry_module")) or sys.modules.get("main")
    inner = getattr(module, "driver_module", None)
    found = getattr(inner, "run_v2", None) or getattr(module, "run_v2", None)
    return found if callable(found) else None


def answer(script, request):
    """Answers an inference."""
    work = begin(script, request)
    if work is None:
        return
    try:
        with script.surroundings(request):
            value = request.call(work.function, work.args, work.kwargs)
    except BaseException as error:
        work.failed(error)
    else:
        work.finish(value)


async def answer_async(script, request):
    """Answers an inference in an event loop, for an ``async def run``."""
    work = begin(script, request)
    if work is None:
        return
    started = time.perf_counter()
    try:
        with script.surroundings(request):
            value = work.function(*work.args, **work.kwargs)
            if hasattr(type(value), "__await__"):
                value = await value
    except Exception as error:
        work.failed(error)
    else:
        request.ran(time.perf_counter() - started)
        work.finish(value)


def begin(script, request):
    """What is to be called for a request; None if it is answered already."""
    from azureml_scorer import v2_tensors

    try:
        if request.method != "POST":
            raise Refused(405, "The method is not allowed for the requested URL.")
        asked = v2_tensors.read(request)
        called = _called(script, request, asked)
    except Refused as refused:
        _error(request, refused.status, str(refused), False)
        return None
    return _Work(script, request, asked, *called)


def _called(script, request, asked):
    """(function, args, kwargs) for a request."""
    own = _own(script)
    if own is not None:
        return own, ({tensor.name: tensor.value() for tensor in asked.inputs},), {}
    if script.raw:
        raise Refused(501, "The score script takes raw requests, which tensors cannot be made into; give it a function run_v2(inputs).")
    if script.decorated:
        from azureml_scorer import v2_schema

        return script.run, (), script.with_headers(request, v2_schema.arguments(script.run, asked.inputs))
    if len(asked.inputs) == 1:
        data = {"data": asked.inputs[0].plain()}
    else:
        data = {tensor.name: tensor.plain() for tensor in asked.inputs}
    name = _parameter(script.run_batch if script.batch else script.run)
    return script.run, (), script.with_headers(request, {name: json.dumps(data)})


@functools.lru_cache(maxsize=1)
def _parameter(run):
    """Name of the parameter for the request's data."""
    return loading.parameters("", run)[0][0].name


class _Work:
    """An inference between its request and its answer."""

    def __init__(self, script, request, asked, function, args, kwargs):
        self._script = script
        self._request = request
        self._asked = asked
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def finish(self, value):
        """Answers with what the function has returned."""
        from azureml_scorer import v2_tensors

        try:
            headers, body = v2_tensors.write(self._asked, value, self._script.dumps, name())
        except Refused as refused:
            _error(self._request, refused.status, str(refused), refused.status >= 500)
        except Exception as error:
            _log.error("The result of run() cannot be sent as tensors: %s: %s", type(error).__name__, error)
            _error(self._request, 500, "The result of the scoring script cannot be sent as tensors. Check the logs for more info.", True)
        else:
            self._request.reply(200, headers, body, False)

    def failed(self, error):
        """Answers for an exception of the function, in the protocol's form."""
        self._script.failed(_Speaker(self._request), error)


class _Speaker:
    """A request whose errors have the protocol's form."""

    def __init__(self, request):
        self._request = request

    def reply(self, status, headers, body, failed):
        try:
            message = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            message = body if isinstance(body, str) else bytes(body).decode(errors="replace")
        _error(self._request, status, message, failed)

    def __getattr__(self, name):
        return getattr(self._request, name)


def _error(request, status, message, failed):
    request.reply(status, None, json.dumps({"error": message}), failed)
