"""Presents the core's requests with the interface that the script's side expects."""

import json
import logging
import signal
import sys
import time

from azureml_scorer import _core

_log = logging.getLogger("azmlinfsrv")


class ScoringTimeout(BaseException):
    """Raised in user code by the deadline; not an ``Exception``, so that a broad ``except`` lets it through."""


_request_id = ""
_unfinished = False


def _mark():
    global _unfinished
    _unfinished = True


def _write(text):
    sys.__stdout__.write(text)
    sys.__stdout__.flush()


for _name, _function in (("request_id", lambda: _request_id), ("write_log", _write), ("unfinished_print", _mark)):
    if not hasattr(_core, _name):
        setattr(_core, _name, _function)


class Request:
    kind = "score"
    path = "/score"
    peer = ""

    def __init__(self, method, query, headers, text, request_id, seconds, timeout_ms, alarm):
        self.method, self.query, self.request_id, self.timeout_ms = method, query, request_id, timeout_ms
        self.headers, self.text, self._seconds, self._alarm = headers, text, seconds, alarm
        self.answered, self._ms = None, None

    @property
    def body(self):
        return self.text.encode()

    def header(self, wanted):
        return next((value for name, value in self.headers() if name.lower() == wanted), None)

    def call(self, function, args, kwargs):
        global _deadline
        started = time.perf_counter()
        try:
            # A little early, because the alarm that belongs to the deadline must not be taken for an old one.
            _deadline = time.monotonic() + self._seconds - 0.005
            if self._alarm:
                signal.setitimer(signal.ITIMER_REAL, max(self._seconds, 0.001))
            value = function(*args, **kwargs)
        finally:
            _deadline = None
            if self._alarm:
                signal.setitimer(signal.ITIMER_REAL, 0)
        if self._ms is None:
            self._ms = (time.perf_counter() - started) * 1000
        return value

    def reply(self, status, headers, body, failed):
        if self.answered is None:
            self.answered = status, headers, body.encode() if isinstance(body, str) else body, failed, self._ms

    def stream(self, status, headers, iterator):
        chunks = [chunk.encode() if isinstance(chunk, str) else bytes(chunk) for chunk in iterator]
        self.reply(status, headers, b"".join(chunks), False)


def answer(script, alarm, method, query, headers, text, request_id, seconds, timeout_ms):
    global _request_id
    _request_id = request_id
    request = Request(method, query, headers, text, request_id, seconds, timeout_ms, alarm)
    try:
        script.answer(request)
    except ScoringTimeout:
        _log.error("run() was stopped at its time-out")
        request.reply(500, None, json.dumps({"message": f"Scoring timeout after {timeout_ms} ms"}), True)
    except BaseException as error:
        script.failed(request, error)
    return request.answered


def finish(script):
    global _request_id, _unfinished
    if _unfinished:
        script.flush_prints()
        _unfinished = False
    _request_id = ""


# When the running request must end; None while no user code runs. The alarm may ring late, when run() is just returning
# or the next request runs already, and must stop neither.
_deadline = None


def _stop(_signal, _frame):
    if _deadline is not None and time.monotonic() >= _deadline:
        raise ScoringTimeout


def prepare():
    """Signals of a thread that runs user code: the deadline raises in it, Ctrl-C is the server's."""
    signal.signal(signal.SIGALRM, _stop)
