"""Bodies that are compressed, huge or broken, and results that go too deep."""

import gzip
import json
import zlib

import pytest

LENGTH = "def init():\n    pass\n\ndef run(data):\n    return [len(data), data[:10]]\n"
TEXT = "hällo " * 1000


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_compressed_body_reaches_run_as_its_text(start, coding, compress, workers):
    server = start(LENGTH, WORKER_COUNT=workers)
    status, _, text = server.request(body=compress(TEXT.encode()), headers={"content-encoding": coding})
    assert (status, json.loads(text)) == (200, [len(TEXT), TEXT[:10]])


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [("br", b"x", 415), ("gzip", b"not gzip", 400), ("gzip", gzip.compress(b"x" * 1000)[:-9], 400), ("deflate", b"\x00", 400)],
    # Compressed bytes name the second in which they were made, and may not name a test.
    ids=["unknown", "not gzip", "cut off", "not deflate"],
)
def test_a_body_that_cannot_be_decoded_is_the_callers_fault_and_the_connection_lives_on(start, coding, body, status):
    server = start(LENGTH)
    connection = server.connect()
    connection.request("POST", "/score", body=body, headers={"content-encoding": coding})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("x-ms-run-function-failed")) == (status, "False")
    assert "coding" in json.loads(answer.read())["message"]
    connection.request("POST", "/score", body="next")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_body_that_decodes_to_more_than_is_taken_is_a_413(start):
    server = start(LENGTH, AZUREML_MAX_BODY_BYTES="1000000")
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 1_000_000
    assert server.request(body=bomb, headers={"content-encoding": "gzip"})[0] == 413
    assert server.request(body="x")[0] == 200


def test_compressed_bodies_are_left_as_they_are_when_strict(start):
    server = start(
        "import gzip\nfrom azureml.contrib.services.aml_request import rawhttp\n\ndef init():\n    pass\n\n"
        "@rawhttp\ndef run(request):\n    return gzip.decompress(request.get_data()).decode()\n",
        AZUREML_COMPAT="strict",
    )
    assert json.loads(server.request(body=gzip.compress(b"text"), headers={"content-encoding": "gzip"})[2]) == "text"


def test_a_body_of_200_mb_is_taken_where_the_limit_allows_it(start):
    status, _, text = start(LENGTH, AZUREML_MAX_BODY_BYTES="300000000").request(body=bytes(200_000_000))
    assert (status, json.loads(text)[0]) == (200, 200_000_000)


def test_a_body_of_200_mb_is_refused_before_it_comes(start):
    connection = start(LENGTH).connect()
    connection.putrequest("POST", "/score")
    connection.putheader("content-length", "200000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("result", ["deep", "cycle"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_result_without_a_bottom_fails_its_request_alone(start, result, workers):
    server = start(
        "def init():\n    pass\n\ndef run(data):\n    value = []\n    if data == 'cycle':\n        value.append(value)\n"
        "    elif data == 'deep':\n        for _ in range(1_000_000):\n            value = [value]\n    return value\n",
        WORKER_COUNT=workers,
    )
    status, headers, _ = server.request(body=result)
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert server.request(body="flat")[::2] == (200, "[]")


def test_a_body_that_is_nested_too_deep_for_the_script_fails_its_request_alone(start):
    server = start("import json\n\ndef init():\n    pass\n\ndef run(data):\n    return json.loads(data)\n")
    assert server.request(body="[" * 1_000_000)[0] == 500
    assert server.request(body="[]")[::2] == (200, "[]")
