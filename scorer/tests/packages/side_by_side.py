"""Runs the original server and ours side by side, each in an environment of its own.

The tests run in the environment of `requirements.txt`, which has ours and the models' libraries but not the original
server. The one of `requirements-original.txt` beside it has the original server and sees the same libraries.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ports import free_port

OURS = Path(sys.executable)
ORIGINAL = Path(os.environ.get("AZMLINFSRV_PYTHON", Path(sys.prefix).parent / "original/bin/python"))
# What makes an answer the same to a client; of the times only the presence.
HEADERS = ("content-type", "x-ms-run-function-failed", "x-request-id", "x-ms-request-id", "x-ms-client-request-id")


class Server:
    """One server process, over TCP."""

    def __init__(self, name, command, directory, environment):
        self.name = name
        self._log = directory / "server.log"
        self.port = free_port()
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "--entry_script", "score.py", "--port", str(self.port)],
                cwd=directory,
                env={"PATH": os.environ["PATH"], "HOME": str(directory), **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self):
        return self._log.read_text(errors="replace")

    def wait(self):
        """Until it is healthy; the bound only ends a test that has failed."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert self.process.poll() is None, f"the {self.name} server ended:\n{self.log()}"
            try:
                if self.request("GET", "/").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the {self.name} server does not answer:\n{self.log()}")

    def request(self, method="POST", path="/score", body=None, headers=None):
        """An answer with ``status``, ``headers`` by lower-case name, and ``body``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, str):
            body = body.encode()
        connection.request(method, path, body=body, headers={"x-request-id": "r-1", **(headers or {})})
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def seen(self):
        """What clients see of it."""
        shown = {name: self.headers.get(name) for name in HEADERS}
        # The original leaves the flag out of Flask's own responses.
        shown["x-ms-run-function-failed"] = shown["x-ms-run-function-failed"] or "False"
        # Refusals of the server itself may be spaced otherwise.
        refused = self.status >= 400 and self.headers.get("content-type") == "application/json"
        body = json.loads(self.body) if refused else self.body
        return {"status": self.status, **shown, "timed": "x-ms-run-fn-exec-ms" in self.headers, "body": body}


class Pair:
    """The original server and ours with the same script; ours perhaps in both environments."""

    def __init__(self, original, *ours):
        self.original = original
        self.ours = ours

    def same(self, *request, **options):
        """Our answer, which must be the original's."""
        theirs = self.original.request(*request, **options)
        for server in self.ours:
            answer = server.request(*request, **options)
            assert answer.seen() == theirs.seen(), f"{server.name} {request} {options}\n{server.log()[-2000:]}"
        return answer
