"""What a score script may return, and how it becomes an answer."""

import re
import sys
import types

from azureml_scorer.aml_response import JSON, TEXT, AMLResponse

BINARY = "application/octet-stream"
# Bytes that are read from a file-like result at once.
_CHUNK = 64 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The server frames its answers itself, and owns these headers.
_OWN = frozenset(
    ("connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "date", "server", "x-request-id", "x-ms-request-id")
    + ("x-ms-client-request-id", "x-ms-server-version", "x-ms-run-fn-exec-ms", "x-ms-run-function-failed")
)
_PLAIN = frozenset((dict, list, tuple, str, int, float, bool, type(None)))


class ResultError(Exception):
    """A result that cannot be sent; the text says why and what to return instead."""


class BrokenStream(Exception):
    """The script failed while it made the pieces of its result; its error is the cause."""


def _is_response(value):
    """Whether a result is a response of Flask, Werkzeug or the original server."""
    werkzeug = sys.modules.get("werkzeug.wrappers.response") or sys.modules.get("werkzeug.wrappers")
    return werkzeug is not None and isinstance(value, werkzeug.Response)


def answer(request, value, dumps, strict):
    """Sends what ``run`` returned; raises what says why it cannot be sent."""
    kind = type(value)
    if kind in _PLAIN:
        return request.reply(200, None, dumps(value), False)
    if isinstance(value, AMLResponse):
        return _aml_response(request, value, dumps)
    if _is_response(value):
        return _flask_response(request, value)
    if hasattr(kind, "__await__"):
        if isinstance(value, types.CoroutineType):
            value.close()
        raise ResultError(f"run() returned a {kind.__name__} that nobody awaits: declare it as `async def run`, or await it inside")
    if strict:
        return request.reply(200, None, dumps(value), False)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return request.reply(200, [("content-type", BINARY)], bytes(value), False)
    stream = _stream_of(value)
    if stream is None:
        return request.reply(200, None, dumps(value), False)
    return _stream(request, 200, None, stream)


def _stream_of(value):
    """An iterator over the chunks of a generator, an iterator or a file; None if the value is none of them."""
    if hasattr(type(value), "__anext__"):
        from azureml_scorer.streams import drive

        return drive(value)
    if callable(getattr(value, "read", None)):
        from azureml_scorer.streams import read

        return read(value, _CHUNK)
    return value if hasattr(type(value), "__next__") else None


def _stream(request, status, headers, chunks):
    """Streams chunks; the first one is made before the answer begins, so that an early failure is a clean 500."""
    from azureml_scorer.streams import Begun

    try:
        begun = Begun(chunks, request)
        request.stream(status, headers or [("content-type", type_of(begun.first))], begun)
    except Exception as error:
        raise BrokenStream from error


def type_of(chunk):
    """The content type of a stream whose script states none."""
    return BINARY if isinstance(chunk, (bytes, bytearray, memoryview)) else "text/plain; charset=utf-8"


def _aml_response(request, response, dumps):
    status, failed, headers = _head(response.status_code, response.headers.items(), response.run_function_failed)
    body = response.response
    if isinstance(body, str):
        return request.reply(status, headers, body.encode(), failed)
    if isinstance(body, (bytes, bytearray, memoryview)):
        return request.reply(status, headers, bytes(body), failed)
    if isinstance(body, (list, tuple)) and all(isinstance(part, (str, bytes)) for part in body):
        joined = b"".join(part.encode() if isinstance(part, str) else part for part in body)
        return request.reply(status, headers, joined, failed)
    if not isinstance(body, (dict, list, tuple)):
        chunks = _stream_of(body)
        if chunks is None and hasattr(type(body), "__iter__"):
            chunks = iter(body)
        if chunks is not None:
            return _stream(request, status, headers, chunks)
        return request.reply(status, headers, str(body).encode(), failed)
    # The original sent the keys of a dictionary, and failed on lists of numbers.
    headers = [(name, JSON if (name, value) == ("content-type", TEXT) else value) for name, value in headers]
    return request.reply(status, headers, dumps(body).encode(), failed)


def _flask_response(request, response):
    status, failed, headers = _head(response.status_code, response.headers.items(), False)
    if response.is_streamed or response.direct_passthrough:
        from azureml_scorer.streams import closing

        return _stream(request, status, headers, closing(response))
    body = response.get_data()
    response.close()
    return request.reply(status, headers, body, failed)


def _head(status, headers, failed):
    """(status, whether the function failed, headers) of a response of the script's own."""
    if not 200 <= status <= 599:
        raise ResultError(f"the status code {status} is not between 200 and 599")
    sent = []
    for name, value in headers:
        name, value = str(name).lower(), str(value)
        if not _TOKEN.fullmatch(name):
            raise ResultError(f"the response header name {name!r} is not valid")
        if any(character in value for character in "\r\n\0"):
            raise ResultError(f"the response header {name!r} has a line break")
        if name == "x-ms-run-function-failed":
            failed = failed or value.lower() == "true"
        elif name not in _OWN:
            sent.append((name, value))
    return status, bool(failed or status >= 500), sent

