"""async def run()."""

import json
import threading

import pytest
from conftest import eventually

SCRIPT = """
import asyncio, os

def init():
    pass

async def run(data):
    if data == "raise":
        raise ValueError(data)
    while data.startswith("/") and not os.path.exists(data):
        await asyncio.sleep(0.005)
    return data
"""
STREAM = """
import asyncio, os

def init():
    pass

async def run(data):
    yield "first"
    while not os.path.exists(data):
        await asyncio.sleep(0.005)
    yield b"second"
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_async_run_answers_and_fails_as_any_other(start, workers):
    server = start(SCRIPT, WORKER_COUNT=workers)
    status, headers, text = server.request(body="hello")
    assert (status, json.loads(text)) == (200, "hello")
    assert float(headers["x-ms-run-fn-exec-ms"]) >= 0
    assert server.request(body="raise")[0] == 500
    assert "ValueError: raise" in server.log()


def test_requests_run_at_the_same_time(start, tmp_path):
    server = start(SCRIPT)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(server.request(body=str(tmp_path / "gate"))[0]))
    waiting.start()
    assert server.request(body="other")[0] == 200
    (tmp_path / "gate").touch()
    waiting.join()
    assert answers == [200]


def test_an_async_run_beyond_its_deadline_is_stopped_and_the_next_answered(start, tmp_path):
    server = start(SCRIPT)
    headers = {"x-azureml-deadline-ms": "100", "x-azureml-limit": "1"}
    assert server.request(body=str(tmp_path / "never"), headers=headers)[0] == 504
    eventually("the slot", lambda: server.request(body="next", headers={"x-azureml-limit": "1"})[0] == 200)


def test_an_async_generator_is_sent_as_it_comes(start, tmp_path):
    server = start(STREAM)
    connection = server.connect()
    connection.request("POST", "/score", body=str(tmp_path / "gate"))
    answer = connection.getresponse()
    assert answer.read1(5) == b"first"
    (tmp_path / "gate").touch()
    assert answer.read() == b"second"


def test_a_drain_waits_for_async_requests(start, tmp_path):
    server = start(SCRIPT)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(server.request(body=str(tmp_path / "gate"))[0]))
    waiting.start()
    # The slot of the first is taken.
    eventually("the request to run", lambda: server.request(body="x", headers={"x-azureml-limit": "1"})[0] == 503)
    server.process.terminate()
    (tmp_path / "gate").touch()
    waiting.join()
    assert (answers, server.process.wait(60)) == ([200], 0)
