"""Start, slots, time-outs, workers and end."""

import json
import os
import signal
import threading

import pytest
from conftest import eventually

ECHO = "def init():\n    pass\n\ndef run(raw_data):\n    return raw_data\n"

# Runs until the test creates the file that the request names.
GATED = """import os
import time

def init():
    pass

def run(path):
    open(path + ".entered", "w").close()
    while not os.path.exists(path):
        time.sleep(0.005)
    return os.getpid()
"""


@pytest.mark.parametrize(
    ("script", "reason", "texts"),
    [
        ("def init():\n    pass\n\ndef run(raw_data)\n    return 1\n", "import_failed", ["score.py, line 4", "SyntaxError"]),
        ("import no_such_package\n", "import_failed", ["score.py, line 1", "ModuleNotFoundError", "no_such_package"]),
        ("def init():\n    pass\n", "invalid_script", ["run()"]),
        ("def run(data):\n    pass\n", "invalid_script", ["init()"]),
        ("def init():\n    pass\n\ndef run(*data):\n    pass\n", "invalid_script", ["*data"]),
        ("def init():\n    raise ValueError('no weights')\n\ndef run(d):\n    pass\n", "init_failed", ["score.py, line 2", "ValueError: no weights"]),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_script_that_cannot_be_served_ends_the_server_with_3_and_says_where(start, script, reason, texts, workers):
    server = start(script, ready=False, WORKER_COUNT=workers)
    event = server.event()
    assert (event["event"], event["reason"]) == ("failed", reason)
    for text in texts:
        assert text in event["message"], event
    assert server.process.wait(60) == 3


@pytest.mark.parametrize("body", ["while True:\n        time.sleep(0.01)", "while True:\n        pass"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_init_that_never_returns_is_reported_with_its_line(start, body, workers):
    server = start(
        f"import time\n\ndef init():\n    {body}\n\ndef run(d):\n    pass\n",
        ready=False,
        AZUREML_INIT_TIMEOUT_SECONDS="1",
        WORKER_COUNT=workers,
    )
    event = server.event()
    assert event["reason"] == "init_timeout" and "score.py" in event["message"] and "in init" in event["message"], event
    assert server.process.wait(60) == 3


def test_health_says_starting_until_init_returns_and_does_not_wait_for_a_running_score(start, tmp_path):
    gate = tmp_path / "init"
    server = start(
        f"import os, time\n\ndef init():\n    while not os.path.exists({str(gate)!r}):\n        time.sleep(0.005)\n\n" + GATED.split("pass\n", 1)[1],
        ready=False,
    )
    assert server.request("GET", "/")[::2] == (503, "Starting")
    gate.touch()
    assert server.event() == {"event": "ready"}
    with running(server, tmp_path / "a"):
        assert server.request("GET", "/")[::2] == (200, "Healthy")


class running:
    """A request whose run() lasts as long as the block."""

    def __init__(self, server, path, headers=None):
        self._server, self._path, self._headers = server, path, headers
        self.answer = None

    def _send(self):
        self.answer = self._server.request(body=str(self._path), headers=self._headers)

    def __enter__(self):
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        eventually("run() to be entered", lambda: os.path.exists(f"{self._path}.entered"))
        return self

    def __exit__(self, *_):
        self._path.touch()
        self._thread.join()


def test_a_request_above_its_limit_is_refused_before_its_body_is_read(start, tmp_path):
    server = start(GATED)
    with running(server, tmp_path / "a", {"x-azureml-limit": "1"}):
        connection = server.connect()
        connection.putrequest("POST", "/score")
        for name, value in (("x-azureml-limit", "1"), ("expect", "100-continue"), ("content-length", "1000000")):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.headers["x-azureml-refused"]) == (503, "busy")
        connection.close()


def test_a_freed_slot_is_granted_to_the_asker_and_kept_for_it(start, tmp_path):
    server = start(GATED)
    granted = []
    with running(server, tmp_path / "a", {"x-azureml-limit": "1"}):
        asker = threading.Thread(target=lambda: granted.append(server.request("GET", "/.azureml/slot", headers={"x-azureml-limit": "1"})))
        asker.start()
        assert server.request(body="x", headers={"x-azureml-limit": "1"})[0] == 503
    asker.join()
    status, headers, _ = granted[0]
    assert status == 200
    (tmp_path / "b").touch()
    taken = {"x-azureml-limit": "1", "x-azureml-grant": headers["x-azureml-grant"]}
    assert server.request(body=str(tmp_path / "b"), headers=taken)[0] == 200
    assert int(headers["x-azureml-busy-us"]) > 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_refuses_new_requests_finishes_those_in_flight_and_exits(start, tmp_path, workers):
    server = start(GATED, WORKER_COUNT=workers)
    with running(server, tmp_path / "a") as request:
        server.process.send_signal(signal.SIGTERM)
        eventually("refusals", lambda: server.request(body="x", headers={"x-azureml-limit": "1"})[1].get("x-azureml-refused") == "draining")
        assert server.process.poll() is None
    assert request.answer[0] == 200
    assert server.process.wait(60) == 0


def test_the_end_of_the_control_socket_ends_a_server_that_is_stuck_in_user_code(start):
    server = start("def init():\n    while True:\n        pass\n\ndef run(d):\n    pass\n", ready=False)
    eventually("the start", lambda: server.request("GET", "/")[0] == 503)
    server.control.close()
    assert server.process.wait(60) != 0


def test_two_workers_run_two_requests_at_once(start, tmp_path):
    server = start(GATED, WORKER_COUNT="2")
    with running(server, tmp_path / "a") as first, running(server, tmp_path / "b") as second:
        pass
    assert first.answer[0] == second.answer[0] == 200
    assert first.answer[2] != second.answer[2]


def test_a_killed_worker_is_replaced_and_only_its_request_fails(start, tmp_path):
    server = start(GATED, WORKER_COUNT="2")
    (tmp_path / "free").touch()
    pid = int(server.request(body=str(tmp_path / "free"))[2])
    with running(server, tmp_path / "a") as first, running(server, tmp_path / "b") as second:
        os.kill(pid, signal.SIGKILL)
        eventually("the failed request", lambda: first.answer or second.answer)
    assert sorted((first.answer[0], second.answer[0])) == [200, 500]
    eventually("two workers again", lambda: len({server.request(body=str(tmp_path / "free"))[2] for _ in range(20)} - {str(pid)}) >= 1)
    assert server.request(body=str(tmp_path / "free"))[0] == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_beyond_its_deadline_is_a_500_and_is_stopped(start, workers):
    server = start("import time\n\ndef init():\n    pass\n\ndef run(data):\n    while data == 'for ever':\n        time.sleep(0.01)\n    return 1\n", WORKER_COUNT=workers)
    status, headers, text = server.request(body="for ever", headers={"x-azureml-deadline-ms": "100"})
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert "Scoring timeout" in json.loads(text)["message"]
    eventually("the slot", lambda: server.request(body="now", headers={"x-azureml-limit": "1"})[0] == 200)
