"""Starts real servers, over TCP and over an inherited unix socket as the supervisor does."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time

import pytest


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def eventually(what, condition):
    """Polls a condition; the bound only ends a test that has failed."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


class Server:
    """A scorer with an inherited listening socket and a control socket."""

    def __init__(self, directory, script, *, unread=False, **environment):
        self.directory = directory
        (directory / "score.py").write_text(script)
        self.path = str(directory / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(128)
        self.control, theirs = socket.socketpair()
        self.log_path = directory / "log"
        if unread:
            # Kept open, and never read.
            self._unread, write = os.pipe()
            self.log_file = open(write, "wb")
        else:
            self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "azureml_scorer"],
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "AML_APP_ROOT": str(directory),
                "AZUREML_ENTRY_SCRIPT": "score.py",
                "AZUREML_LISTEN_FD": str(listener.fileno()),
                "AZUREML_CONTROL_FD": str(theirs.fileno()),
                "AZUREML_INIT_TIMEOUT_SECONDS": "30",
                **environment,
            },
            pass_fds=[listener.fileno(), theirs.fileno()],
            stdout=self.log_file,
            stderr=subprocess.STDOUT,
        )
        listener.close()
        theirs.close()

    def event(self):
        """The next event on the control socket; None when the scorer closed it."""
        line = b""
        self.control.settimeout(60)
        while not line.endswith(b"\n"):
            byte = self.control.recv(1)
            if not byte:
                return None
            line += byte
        return json.loads(line)

    def connect(self):
        return _UnixConnection(self.path)

    def request(self, method="POST", path="/score", body=None, headers=None):
        """(status, headers with lower-case names, body text)."""
        connection = self.connect()
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text

    def log(self):
        return self.log_path.read_text()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.control.close()
        self.log_file.close()


@pytest.fixture
def start(tmp_path):
    servers = []

    def start_one(script, *, ready=True, unread=False, **environment):
        directory = tmp_path / str(len(servers))
        directory.mkdir()
        server = Server(directory, script, unread=unread, **environment)
        servers.append(server)
        if ready:
            assert server.event() == {"event": "ready"}, unread or server.log()
        return server

    yield start_one
    for server in servers:
        server.close()
