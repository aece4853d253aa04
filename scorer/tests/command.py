"""Starts the server by its command line, over TCP, as people do."""

import http.client
import os
import subprocess
import sys

from conftest import eventually
from ports import free_port


class Command:
    """One run of the command in ``directory``; ``environment`` is all that it gets."""

    def __init__(self, directory, *flags, script=None, port=None, **environment):
        if script is not None:
            (directory / "score.py").write_text(script)
            flags = ("--entry_script", "score.py", *flags)
        self.port = port or free_port()
        self._out = directory / ("out" if port is None else "out-of-the-second")
        with open(self._out, "wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "azureml_scorer", *map(str, flags), "--port", str(self.port)],
                cwd=directory,
                env={"PATH": os.environ["PATH"], **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def output(self):
        return self._out.read_text()

    def healthy(self, port=None):
        """Waits until the server answers; fails when it ends instead."""

        def answers():
            assert self.process.poll() is None, self.output()
            try:
                return self.request("GET", "/", port=port)[0] == 200
            except OSError:
                return False

        eventually("health", answers)
        return self

    def ended(self):
        """The exit code, once the process has ended."""
        return self.process.wait(60)

    def request(self, method="POST", path="/score", body=None, headers=None, port=None):
        """(status, headers with lower-case names, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
