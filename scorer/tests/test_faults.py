"""What user code breaks breaks for nobody else."""

import contextlib
import glob
import json
import os
import signal
import socket
import threading

import pytest
from command import Command
from conftest import eventually

IDLE = "def init():\n    pass\n\n"
# Answers with its request's body; ends its process in one way or another for some of them.
TAGGED = """
import os, signal, sys

def init():
    pass

def run(data):
    kind, _, number = data.partition(" ")
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        os._exit(7)
    if kind == "raise":
        raise RuntimeError(number)
    if kind == "sys.exit":
        sys.exit(1)
    return data
"""


def members(server):
    """Processes of a server, itself first."""
    found = [server.process.pid]
    for parent in found:
        for children in glob.glob(f"/proc/{parent}/task/*/children"):
            # Any of them may end meanwhile.
            with contextlib.suppress(OSError), open(children) as file:
                found += [int(child) for child in file.read().split()]
    return found


class Caller(threading.Thread):
    """Sends its requests one after another over one connection, and keeps what does not fit."""

    def __init__(self, path, bodies):
        super().__init__()
        self.path, self.bodies = path, bodies
        self.crossed, self.failed, self.answered = [], 0, 0
        self.start()

    def run(self):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.path)
            stream = peer.makefile("rb")
            for body in self.bodies:
                head = f"POST /score HTTP/1.1\r\nHost: x\r\nx-request-id: {body.replace(' ', '-')}\r\nContent-Length: {len(body)}\r\n\r\n"
                peer.sendall((head + body).encode())
                status = int(stream.readline().split()[1])
                length, identity = 0, ""
                while (line := stream.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(": ")
                    length = int(value) if name == "content-length" else length
                    identity = value.strip() if name == "x-request-id" else identity
                text = stream.read(length).decode()
                self.answered += 1
                if identity != body.replace(" ", "-") or status == 200 and json.loads(text) != body:
                    self.crossed.append((body, identity, text))
                elif status != 200:
                    self.failed += 1
                    if status != 500:
                        self.crossed.append((body, status, text))


@pytest.mark.parametrize(("preload", "total"), [("false", 100_000), ("true", 20_000)])
def test_of_many_tagged_requests_through_crashes_each_gets_its_own_answer(start, preload, total):
    server = start(TAGGED, WORKER_COUNT="2", WORKER_PRELOAD=preload)
    callers = 8
    kinds = {101: "segfault", 202: "exit", 303: "raise", 404: "sys.exit"}
    bodies = [f"{kinds.get(number % 2500, 'plain')} {number}" for number in range(total)]
    threads = [Caller(server.path, bodies[first::callers]) for first in range(callers)]
    # Beside the crashes of the script's own, processes are killed from outside.
    for _ in range(4):
        before = set(members(server)[1:])
        # The last is a worker, and not the process that workers are forked from.
        os.kill(members(server)[-1], signal.SIGKILL)
        eventually("another worker", lambda before=before: set(members(server)[1:]) - before)
    for thread in threads:
        thread.join()
    assert [crossed for thread in threads for crossed in thread.crossed] == []
    assert sum(thread.answered for thread in threads) == total
    broken = sum(body.split()[0] != "plain" for body in bodies)
    assert broken <= sum(thread.failed for thread in threads) <= broken + 4


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_child_that_run_forks_and_leaves_behind_answers_no_request(start, workers):
    server = start(
        f"import os\n{IDLE}def run(data):\n    child = os.fork()\n    if child:\n        os.waitpid(child, 0)\n    return [os.getpid(), data]\n",
        WORKER_COUNT=workers,
    )
    pids = set()
    for number in range(5):
        status, _, text = server.request(body=str(number))
        pid, data = json.loads(text)
        assert (status, data) == (200, str(number))
        pids.add(pid)
    assert pids <= set(members(server))
    assert len(members(server)) == (1 if workers == "1" else 3)


def test_a_worker_that_starts_too_many_processes_ends_with_all_of_them_and_alone(start, tmp_path):
    bomb = (
        f"import os, time\n{IDLE}def run(data):\n    if data == 'bomb':\n        for _ in range(60):\n"
        "            if os.fork() == 0:\n                time.sleep(600)\n        time.sleep(600)\n    return os.getpid()\n"
    )
    server = start(bomb, WORKER_COUNT="2", AZUREML_WORKER_MAX_PROCESSES="20")
    status, headers, _ = server.request(body="bomb")
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    eventually("all processes of the worker to end", lambda: len(members(server)) == 3)
    assert server.request(body="x")[0] == 200
    assert "has started more than 20 processes" in server.log()


LEAK = f"kept = []\n{IDLE}def run(data):\n    kept.append(b'x' * int(data))\n    return len(kept)\n"


def test_a_worker_that_has_leaked_is_replaced_after_its_request(start):
    server = start(LEAK, WORKER_COUNT="2", AZUREML_WORKER_MEMORY_BYTES=str(200 << 20))
    before = set(members(server))
    for _ in range(10):
        assert server.request(body=str(45 << 20))[0] == 200
    eventually("a worker to be replaced", lambda: set(members(server)) != before)
    assert "more memory than it may" in server.log()


def test_a_request_that_takes_far_too_much_memory_fails_alone(start):
    server = start(LEAK.replace("kept.append", "import time\n    kept.append").replace("    return", "    time.sleep(int(data) > 1e8 and 600)\n    return"), WORKER_COUNT="2", AZUREML_WORKER_MEMORY_BYTES=str(100 << 20))
    assert server.request(body=str(400 << 20))[0] == 500
    assert server.request(body="1")[0] == 200


def test_a_single_process_that_has_leaked_ends_in_order_so_that_it_is_started_anew(start):
    server = start(LEAK, AZUREML_WORKER_MEMORY_BYTES=str(150 << 20))
    with contextlib.suppress(OSError):
        # Until it is refused, and then nobody is there to answer.
        while server.request(body=str(45 << 20))[0] in (200, 503):
            pass
    assert server.process.wait(60) == 5


def test_health_answers_while_a_run_holds_the_interpreter(start):
    server = start(f"{IDLE}def run(data):\n    return sum(range(10 ** 8))\n")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.request(body="x")[0]))
    thread.start()
    # Many of them, while the one request runs.
    health = 0
    while not answers and health < 2000:
        assert server.request("GET", "/")[0] == 200
        health += 1
    thread.join()
    assert answers == [200] and health >= 10


def test_prints_that_nobody_reads_do_not_stop_the_server(start):
    server = start(f"{IDLE}def run(data):\n    print('x' * 100_000)\n    return 1\n", unread=True)
    for _ in range(30):
        assert server.request(body="x")[0] == 200
    assert server.request("GET", "/")[0] == 200


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(start):
    server = start(f"{IDLE}def run(data):\n    print('x' * 100_000)\n    return 1\n", unread=True)
    assert server.request(body="x")[0] == 200
    server.process.terminate()
    assert server.process.wait(30) == 0


@pytest.fixture
def command(tmp_path):
    server = Command(tmp_path, script=TAGGED).healthy()
    yield server
    server.close()


@pytest.mark.parametrize("end", ["segfault", "exit"])
def test_a_server_of_one_process_that_dies_is_started_again_on_the_same_port(command, end):
    with pytest.raises(OSError):
        command.request(body=f"{end} 1")
    command.healthy()
    assert json.loads(command.request(body="plain 2")[2]) == "plain 2"
    assert "is started again" in command.output()
    command.process.send_signal(signal.SIGTERM)
    assert command.ended() == 0


def test_a_server_that_is_killed_before_it_is_ready_ends_its_master_which_says_so(tmp_path):
    killed = "import os, signal\n\ndef init():\n    os.kill(os.getpid(), signal.SIGKILL)\n\ndef run(data):\n    return data\n"
    command = Command(tmp_path, script=killed)
    assert command.ended() == 128 + signal.SIGKILL
    assert "ended by signal 9 before it was ready" in command.output()


def test_a_server_ends_with_its_master(command):
    children = members(command)[1:]
    command.process.kill()
    command.ended()
    eventually("the child to end", lambda: not any(os.path.exists(f"/proc/{child}") for child in children))
