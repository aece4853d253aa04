"""Starts the installed program and asks it for scores."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time

SCRIPT = """
import json, platform

def init():
    global offset
    offset = 1

def run(data):
    return {"sum": sum(json.loads(data)["data"]) + offset, "python": platform.python_version()}
"""


@contextlib.contextmanager
def served(programs, folder, script=SCRIPT, **settings):
    """The port at which `azmlinfsrv` of an environment serves a script; it must end well when it is asked to."""
    (folder / "score.py").write_text(script)
    listener = socket.create_server(("127.0.0.1", 0))
    log = folder / "log"
    # What the tests' own Python is told is not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AZUREML_"))}
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [str(programs / "azmlinfsrv"), "--entry_script", "score.py"],
            cwd=folder,
            env={**environment, "AZUREML_LISTEN_FD": str(listener.fileno()), **settings},
            pass_fds=[listener.fileno()],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    port = listener.getsockname()[1]
    listener.close()
    try:
        _ready(server, port, log)
        yield port
        server.terminate()
        assert server.wait(60) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def _ready(server, port, log):
    """Waits until the script is loaded; the bound only ends a test that has failed."""
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        # A connection waits in the listener's queue until the server has come up.
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/")[0] == 200:
                return
        time.sleep(0.01)
    raise AssertionError(f"not ready (exit code {server.poll()}):\n{log.read_text()}")


def ask(port, method, path, body=None):
    """(status, text)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def score(port, values):
    status, text = ask(port, "POST", "/score", json.dumps({"data": values}))
    assert status == 200, text
    return json.loads(text)
