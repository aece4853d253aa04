"""A worker process: runs user code for a parent that owns sockets and slots.

Frames in both directions: two 8-byte big-endian lengths, a JSON header, a body.
"""

import json
import os
import signal
import socket
import struct
import sys

from azureml_scorer import _bridge, swagger
from azureml_scorer._core import die_with_parent
from azureml_scorer.main import begin, load
from azureml_scorer.script import LoadError

_LENGTHS = struct.Struct(">QQ")


def _send(stream, header, body=b""):
    header = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(header), len(body)) + header)
    stream.write(body)
    stream.flush()


def _receive(stream):
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header, body = _LENGTHS.unpack(lengths)
    return json.loads(stream.read(header)), stream.read(body)


def main():
    # The parent's end of the socket is standard input; user code gets an empty one instead.
    parent = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as empty:
        os.dup2(empty.fileno(), 0)
    stream = parent.makefile("rwb")
    die_with_parent(os.dup(parent.fileno()))
    # The parent drains on these and then closes the socket.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = begin([])
    _bridge.prepare()
    try:
        with open(os.environ["AZUREML_INIT_TRACE"], "w") as trace:
            script = load(settings, trace)
    except LoadError as error:
        _send(stream, {"event": "failed", "reason": error.reason, "message": str(error), "traceback": error.trace})
        sys.exit(3)
    _send(stream, {"event": "ready", "swagger": swagger.documents(script.run, settings)})
    while (frame := _receive(stream)) is not None:
        question, body = frame
        status, headers, content, failed, run_ms = _bridge.answer(
            script,
            True,
            question["method"],
            question["query"],
            lambda: question["headers"],
            body.decode(),
            question["request_id"],
            question["left_ms"] / 1000,
            question["timeout_ms"],
        )
        _send(stream, {"status": status, "headers": headers, "failed": failed, "run_ms": run_ms}, content)
        _bridge.finish(script)


if __name__ == "__main__":
    main()
