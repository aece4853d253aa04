"""Several requests in one run()."""

import json
import threading

import pytest
from conftest import eventually

# Holds its first batch until there is a file, so that the requests behind it come together.
BATCH = """
import json, os, time
from azureml_scorer import batch

def init():
    pass

@batch(max_size=4, max_wait_ms=1000)
def run(rows):
    rows = [json.loads(row) for row in rows]
    gate = rows[0]["gate"]
    while not os.path.exists(gate):
        time.sleep(0.005)
    with open(gate + ".sizes", "a") as sizes:
        sizes.write(f"{len(rows)}\\n")
    values = [row["value"] for row in rows]
    if "poison" in values:
        raise ValueError("poison")
    if "crash" in values:
        os.abort()
    return [RuntimeError(value) if value == "bad" else value for value in values]
"""


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
def server(start, request):
    return start(BATCH, WORKER_COUNT=request.param)


def together(server, gate, values):
    """Sends all values while the first one's batch is held: status and result of each."""
    answers = [None] * len(values)

    def send(number):
        status, _, text = server.request(body=json.dumps({"gate": str(gate), "value": values[number]}))
        answers[number] = status, json.loads(text)

    threads = [threading.Thread(target=send, args=[number]) for number in range(len(values))]
    threads[0].start()
    # The first is held by its gate; the others wait behind it.
    eventually("the first to run", lambda: server.request("GET", "/")[0] == 200)
    for thread in threads[1:]:
        thread.start()
    gate.touch()
    for thread in threads:
        thread.join()
    return answers


def sizes(gate):
    return list(map(int, gate.with_name(f"{gate.name}.sizes").read_text().split()))


def test_requests_that_wait_are_run_together_and_each_gets_its_own_result(server, tmp_path):
    values = list(range(20))
    assert together(server, tmp_path / "gate", values) == [(200, value) for value in values]
    found = sizes(tmp_path / "gate")
    assert sum(found) == 20 and 1 < max(found) <= 4


def test_a_result_that_is_an_exception_fails_its_row_alone(server, tmp_path):
    answers = together(server, tmp_path / "gate", ["a", "bad", "b", "c"])
    assert [status for status, _ in answers] == [200, 500, 200, 200]


def test_a_row_that_makes_run_raise_fails_no_other_row(server, tmp_path):
    answers = together(server, tmp_path / "gate", ["a", "b", "poison", "c", "d"])
    assert [status for status, _ in answers] == [200, 200, 500, 200, 200]


def test_a_row_that_ends_its_process_fails_no_row_of_another_batch(start, tmp_path):
    server = start(BATCH, WORKER_COUNT="2")
    values = [*range(12), "crash", *range(12, 24)]
    answers = together(server, tmp_path / "gate", values)
    failed = [value for value, (status, _) in zip(values, answers) if status != 200]
    assert "crash" in failed and len(failed) <= 4
    assert all(answer == value for value, (status, answer) in zip(values, answers) if status == 200)


def test_a_lone_caller_is_a_batch_of_one(server, tmp_path):
    (tmp_path / "gate").touch()
    for value in range(5):
        body = json.dumps({"gate": str(tmp_path / "gate"), "value": value})
        assert json.loads(server.request(body=body)[2]) == value
    assert sizes(tmp_path / "gate") == [1] * 5


@pytest.mark.parametrize(("returned", "words"), [("rows[1:]", "returned 0 results for 1 rows"), ("7", "one result for each row, not int")])
def test_a_batch_that_does_not_give_one_result_for_each_row_is_told_so(start, returned, words):
    server = start(f"from azureml_scorer import batch\n\ndef init():\n    pass\n\n@batch()\ndef run(rows):\n    return {returned}\n")
    assert server.request(body="x")[0] == 500
    assert words in server.log()


def test_a_get_reaches_a_batch_too(start):
    server = start("from azureml_scorer import batch\n\ndef init():\n    pass\n\n@batch()\ndef run(rows):\n    return rows\n", WORKER_COUNT="2")
    assert json.loads(json.loads(server.request("GET", "/score?a=1")[2])) == {"a": 1}
    assert json.loads(server.request(body="text")[2]) == "text"
