"""A worker process: runs user code for a parent that owns sockets and slots."""

import json
import os
import signal
import sys

from azureml_scorer import _core, deadline, start, swagger, v2
from azureml_scorer.server import load, prepare as prepare_process, serve as answer
from azureml_scorer.script import LoadError


def main():
    # The parent's end of the socket is standard input.
    worker = _core.Worker(os.dup(0))
    leave_stdin()
    script, started = prepare(worker.say)
    serve(worker, script, started)


def leave_stdin():
    """Gives user code an empty standard input."""
    with open(os.devnull, "rb") as empty:
        os.dup2(empty.fileno(), 0)


def prepare(say):
    """Loads the script: it, and what there is to say of it. Says why and ends the process when it cannot be served."""
    # The parent drains on these and then closes the socket.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = start.read([])
    prepare_process(settings, True)
    try:
        with open(os.environ["AZUREML_INIT_TRACE"], "w") as trace:
            script = load(settings, trace)
        documents = swagger.documents(script.run, settings)
    except LoadError as error:
        say(json.dumps({"event": "failed", "reason": error.reason, "message": str(error), "traceback": error.trace}))
        sys.exit(3)
    started = {"event": "ready", "swagger": documents, "v2": v2.documents(script), "raw": script.raw, "batch": script.batch}
    return script, json.dumps(started)


def serve(worker, script, started):
    """Answers requests until the parent closes the socket."""
    deadline.prepare()
    worker.say(started)
    answer(worker, script)
    worker.flush()


if __name__ == "__main__":
    main()
