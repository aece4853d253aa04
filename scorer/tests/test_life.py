"""Start, slots, time-outs, workers and end."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import eventually
from ports import free_port

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
    eventually("the end of every worker", lambda: not children(server))
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


def children(server):
    """Processes that run this server's script, other than the server itself."""
    wanted = f"AML_APP_ROOT={server.directory}".encode()
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if pid != server.process.pid and wanted in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


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
def test_a_run_beyond_its_deadline_is_a_504_and_is_stopped(start, workers):
    server = start("import time\n\ndef init():\n    pass\n\ndef run(data):\n    while data == 'for ever':\n        time.sleep(0.01)\n    return 1\n", WORKER_COUNT=workers)
    status, headers, text = server.request(body="for ever", headers={"x-azureml-deadline-ms": "100"})
    assert (status, headers["x-ms-run-function-failed"]) == (504, "True")
    assert json.loads(text)["message"] == "Scoring timeout after 100 ms"
    eventually("the slot", lambda: server.request(body="now", headers={"x-azureml-limit": "1"})[0] == 200)


def ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in ("Z", "X")
    except FileNotFoundError:
        return True


# Spins in C, without ever looking at signals or giving the GIL away.
STUCK = "sum(range(10 ** 15))"


@pytest.mark.parametrize("end", ["control", "kill"])
def test_workers_that_are_stuck_end_with_their_server(start, end):
    server = start(f"def init():\n    {STUCK}\n\ndef run(d):\n    pass\n", ready=False, WORKER_COUNT="2")
    workers = eventually("two workers", lambda: len(found := children(server)) == 2 and found)
    if end == "control":
        server.control.close()
    else:
        server.process.kill()
    server.process.wait(60)
    for pid in workers:
        eventually("the worker's end", lambda pid=pid: ended(pid))


@pytest.mark.parametrize("place", ["import", "init"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_script_that_exits_while_it_is_loaded_is_reported(start, place, workers):
    script = {"import": "import sys\nsys.exit(0)\n", "init": "import sys\n\ndef init():\n    sys.exit(0)\n\ndef run(d):\n    pass\n"}[place]
    server = start(script, ready=False, WORKER_COUNT=workers)
    assert server.event()["reason"] == f"{place}_failed"
    assert server.process.wait(60) == 3


def test_a_run_that_is_stuck_in_c_code_ends_the_process_so_that_it_is_replaced(start):
    server = start(f"def init():\n    pass\n\ndef run(data):\n    {STUCK}\n", AZUREML_TIMEOUT_GRACE_MS="50")
    status, _, text = server.request(body="x", headers={"x-azureml-deadline-ms": "50"})
    assert (status, json.loads(text)["message"]) == (504, "Scoring timeout after 50 ms")
    assert server.process.wait(60) == 4
    assert "does not stop at its time-out" in server.log()


def test_a_worker_that_is_stuck_in_c_code_is_replaced(start):
    server = start(f"def init():\n    pass\n\ndef run(data):\n    if data == 'stuck':\n        {STUCK}\n    return 1\n", WORKER_COUNT="2")
    assert server.request(body="stuck", headers={"x-azureml-deadline-ms": "50"})[0] == 504
    eventually("both slots", lambda: server.request(body="x", headers={"x-azureml-limit": "1"})[0] == 200)


def test_a_request_that_times_out_in_the_queue_is_never_run(start, tmp_path):
    server = start(GATED)
    with running(server, tmp_path / "a"):
        status, _, text = server.request(body=str(tmp_path / "b"), headers={"x-azureml-deadline-ms": "50"})
        assert (status, json.loads(text)["message"]) == (504, "Scoring timeout after 50 ms")
    (tmp_path / "c").touch()
    assert server.request(body=str(tmp_path / "c"))[0] == 200
    assert not (tmp_path / "b.entered").exists()


def test_a_large_answer_arrives_whole_although_the_server_drains(start, tmp_path):
    server = start(GATED.replace("return os.getpid()", "return 'x' * 20_000_000"))
    connection = server.connect()
    connection.request("POST", "/score", body=str(tmp_path / "a"))
    eventually("run() to be entered", lambda: os.path.exists(tmp_path / "a.entered"))
    server.process.send_signal(signal.SIGTERM)
    eventually("draining", lambda: server.request(body="x", headers={"x-azureml-limit": "1"})[1].get("x-azureml-refused") == "draining")
    (tmp_path / "a").touch()
    assert len(connection.getresponse().read()) == 20_000_002
    connection.close()
    assert server.process.wait(60) == 0


def test_sigterm_during_init_ends_the_server_at_once(start):
    server = start(f"def init():\n    {STUCK}\n\ndef run(d):\n    pass\n", ready=False)
    eventually("the start", lambda: server.request("GET", "/")[0] == 503)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_a_refusal_is_sent_before_the_body_comes_and_its_connection_lives_on(start, tmp_path):
    server = start(GATED)
    with running(server, tmp_path / "a", {"x-azureml-limit": "1"}):
        connection = server.connect()
        connection.putrequest("POST", "/score")
        connection.putheader("x-azureml-limit", "1")
        connection.putheader("content-length", "4")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 503
        answer.read()
        connection.sock.sendall(b"body")
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Healthy"
        connection.close()


def test_a_large_body_that_is_not_wanted_does_not_take_the_answer_away(start):
    server = start(ECHO, AZUREML_MAX_BODY_BYTES="10")
    connection = server.connect()
    connection.request("POST", "/score", body=b"x" * 5_000_000)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    connection.close()


def test_a_refused_request_that_asked_before_its_body_closes_its_connection(start, tmp_path):
    server = start(GATED)
    with running(server, tmp_path / "a", {"x-azureml-limit": "1"}):
        connection = server.connect()
        connection.connect()
        head = "POST /score HTTP/1.1\r\nHost: x\r\nx-azureml-limit: 1\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n"
        # The body looks like a request: it must never be taken for one.
        connection.sock.sendall(head.encode() + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n            ")
        received = b""
        while part := connection.sock.recv(65536):
            received += part
        assert received.startswith(b"HTTP/1.1 503 ") and received.count(b"HTTP/1.1 ") == 1
        connection.close()


@pytest.mark.parametrize(("limit", "workers"), [(1, "1"), (2, "2"), (2, "4")])
def test_the_limit_is_never_exceeded_under_many_concurrent_requests(start, tmp_path, limit, workers):
    marks = tmp_path / "marks"
    marks.mkdir()
    server = start(
        "import os, time, uuid\n\ndef init():\n    pass\n\n"
        f"def run(data):\n    path = os.path.join({str(marks)!r}, uuid.uuid4().hex)\n    open(path, 'w').close()\n"
        f"    time.sleep(0.002)\n    found = len(os.listdir({str(marks)!r}))\n    os.unlink(path)\n    return found\n",
        WORKER_COUNT=workers,
    )
    answers = []

    def caller():
        for _ in range(20):
            answers.append(server.request(body="x", headers={"x-azureml-limit": str(limit)}))

    callers = [threading.Thread(target=caller) for _ in range(12)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert {status for status, _, _ in answers} <= {200, 503}
    ran = [int(text) for status, _, text in answers if status == 200]
    assert ran and max(ran) <= limit
    assert all(headers["x-azureml-refused"] == "busy" for status, headers, _ in answers if status == 503)


def test_an_unused_grant_lapses_to_the_next_asker(start):
    server = start(ECHO)
    question = {"x-azureml-limit": "1"}
    first = server.request("GET", "/.azureml/slot", headers=question)
    second = server.request("GET", "/.azureml/slot", headers=question)
    assert first[0] == second[0] == 200 and first[1]["x-azureml-grant"] != second[1]["x-azureml-grant"]


def test_a_question_for_a_slot_ends_as_busy_at_its_deadline(start, tmp_path):
    server = start(GATED)
    with running(server, tmp_path / "a", {"x-azureml-limit": "1"}):
        status, headers, _ = server.request("GET", "/.azureml/slot", headers={"x-azureml-limit": "1", "x-azureml-deadline-ms": "20"})
        assert (status, headers["x-azureml-refused"]) == (503, "busy")


def test_a_failure_fits_into_the_termination_log(start, tmp_path):
    log = tmp_path / "termination"
    server = start(f"def init():\n    raise ValueError('é' * 9000)\n\ndef run(d):\n    pass\n", ready=False, AZUREML_TERMINATION_LOG=str(log))
    assert server.process.wait(60) == 3
    assert len(log.read_bytes()) <= 4096
    assert json.loads(log.read_text())["reason"] == "init_failed"


def test_the_console_script_serves_over_tcp(tmp_path):
    (tmp_path / "score.py").write_text(ECHO)
    port = free_port()
    program = os.path.join(os.path.dirname(sys.executable), "azmlinfsrv")
    process = subprocess.Popen([program, "--entry_script", "score.py", "--port", str(port)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:

        def healthy():
            connection = http.client.HTTPConnection("127.0.0.1", port)
            try:
                connection.request("GET", "/")
                return connection.getresponse().read() == b"Healthy"
            except OSError:
                return False
            finally:
                connection.close()

        eventually("health over TCP", healthy)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/score", body="abc")
        assert connection.getresponse().read() == b'"abc"'
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
