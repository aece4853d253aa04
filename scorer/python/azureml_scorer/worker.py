"""A worker process: runs user code for a parent that owns sockets and slots."""

import json
import os
import signal
import sys

from azureml_scorer import _core, deadline, swagger, v2
from azureml_scorer.main import begin, load
from azureml_scorer.script import LoadError


def main():
    # The parent's end of the socket is standard input; user code gets an empty one instead.
    worker = _core.Worker(os.dup(0))
    with open(os.devnull, "rb") as empty:
        os.dup2(empty.fileno(), 0)
    # The parent drains on these and then closes the socket.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = begin([])
    deadline.prepare()
    try:
        with open(os.environ["AZUREML_INIT_TRACE"], "w") as trace:
            script = load(settings, trace)
    except LoadError as error:
        failed = {"event": "failed", "reason": error.reason, "message": str(error), "traceback": error.trace}
        worker.say(json.dumps(failed))
        worker.flush()
        sys.exit(3)
    started = {"event": "ready", "swagger": swagger.documents(script.run, settings), "v2": v2.documents(script), "raw": script.raw}
    worker.say(json.dumps(started))
    worker.serve(script)
    worker.flush()


if __name__ == "__main__":
    main()
