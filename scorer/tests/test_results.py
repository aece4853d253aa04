"""What run() may return, and what becomes of it."""

import http.client
import json
import os

import pytest
from conftest import eventually

STRICT = {"AZUREML_COMPAT": "strict"}
FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


def returning(start, expression, before="", **environment):
    return start(f"from azureml.contrib.services.aml_response import AMLResponse\n{before}\ndef init():\n    pass\n\ndef run(data):\n    return {expression}\n", **environment)


def answer(start, expression, before="", **environment):
    return returning(start, expression, before, **environment).request(body="{}")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{'a': 1}", '{"a": 1}'),
        ("[1, (2.5, None)]", "[1, [2.5, null]]"),
        ("'é'", '"\\u00e9"'),
        ("True", "true"),
        ("None", "{}"),
        ("type('Mine', (dict,), {})(a=1)", '{"a": 1}'),
        ("{1: 2, None: 3}", '{"1": 2, "null": 3}'),
    ],
)
def test_json_is_encoded_byte_for_byte_as_by_the_original(start, expression, expected):
    for environment in ({}, STRICT):
        status, headers, text = answer(start, expression, **environment)
        assert (status, text, headers["content-type"]) == (200, expected, "application/json")
        assert headers["x-ms-run-function-failed"] == "False" and "x-ms-run-fn-exec-ms" in headers


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("datetime.date(2024, 2, 29)", "2024-02-29"),
        ("{'at': datetime.datetime(2024, 2, 29, 1, 2, 3)}", {"at": "2024-02-29T01:02:03"}),
        ("datetime.time(1, 2)", "01:02:00"),
    ],
)
def test_dates_are_sent_as_text(start, expression, expected):
    status, _, text = answer(start, expression, "import datetime")
    assert (status, json.loads(text)) == (200, expected)
    assert answer(start, expression, "import datetime", **STRICT)[0] == 500


@pytest.mark.parametrize("expression", ["float('nan')", "[1.0, float('inf')]", "{'a': [{'b': float('-inf')}]}"])
def test_numbers_that_json_lacks_are_a_failure_null_or_bare_by_the_setting(start, expression):
    server = returning(start, expression)
    status, headers, text = server.request(body="{}")
    assert (status, headers["x-ms-run-function-failed"], json.loads(text)["message"]) == (500, "True", FAILED)
    assert "JSON has no NaN or Infinity" in server.log() and "AZUREML_NAN=null" in server.log()
    status, _, text = answer(start, expression, AZUREML_NAN="null")
    assert status == 200 and "null" in text and "N" not in text
    status, _, text = answer(start, expression, **STRICT)
    assert status == 200 and ("NaN" in text or "Infinity" in text)


def test_the_log_names_the_place_of_a_number_that_json_lacks(start):
    server = returning(start, "{'rows': [1.0, {'score': float('nan')}, float('inf')]}")
    server.request(body="{}")
    assert "at $.rows[1].score and 1 more places" in server.log()


@pytest.mark.parametrize("expression", ["{1, 2}", "object()", "{'a': b'x'}", "1j", "{(1, 2): 3}", "deep", "loop"])
def test_a_result_that_cannot_be_sent_is_a_failure_that_the_log_explains(start, expression):
    before = "deep = []\nfor _ in range(100_000):\n    deep = [deep]\nloop = []\nloop.append(loop)"
    server = returning(start, expression, before)
    status, headers, text = server.request(body="{}")
    assert (status, headers["x-ms-run-function-failed"], json.loads(text)["message"]) == (500, "True", FAILED)
    assert "The result of run() cannot be sent" in server.log()
    assert server.request("GET", "/")[0] == 200


@pytest.mark.parametrize("expression", ["{1, 2}", "b'bytes'", "(x for x in 'ab')"])
def test_the_original_took_such_a_result_for_an_error_of_its_own(start, expression):
    status, headers, text = answer(start, expression, **STRICT)
    assert (status, headers["x-ms-run-function-failed"]) == (500, "False")
    assert json.loads(text)["message"] == "An unexpected internal error occurred. Check the logs for more info."


@pytest.mark.parametrize("expression", ["b'\\x00raw'", "bytearray(b'\\x00raw')", "memoryview(b'\\x00raw')"])
def test_bytes_in_all_forms_are_sent_as_they_are(start, expression):
    status, headers, text = answer(start, expression)
    assert (status, headers["content-type"], text) == (200, "application/octet-stream", "\x00raw")


def test_a_coroutine_that_nobody_awaits_is_a_failure_that_says_what_to_do(start):
    server = returning(start, "work()", "async def work():\n    return 1\n")
    assert server.request(body="{}")[0] == 500
    assert "declare it as `async def run`" in server.log() and "never awaited" not in server.log()


def test_an_async_run_is_awaited(start):
    server = start("import asyncio\n\ndef init():\n    pass\n\nasync def run(data):\n    await asyncio.sleep(0)\n    return [data]\n")
    status, headers, text = server.request(body="x")
    assert (status, json.loads(text)) == (200, ["x"]) and "x-ms-run-fn-exec-ms" in headers


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("def run(data):\n    yield 'a'\n    yield 'é'\n", "text/plain; charset=utf-8"),
        ("def run(data):\n    return iter([b'a', 'é'])\n", "application/octet-stream"),
        ("async def run(data):\n    yield 'a'\n    yield 'é'\n", "text/plain; charset=utf-8"),
        ("def run(data):\n    return pieces()\n\nasync def pieces():\n    yield 'a'\n    yield 'é'\n", "text/plain; charset=utf-8"),
        ("import io\n\ndef run(data):\n    return io.BytesIO('aé'.encode())\n", "application/octet-stream"),
    ],
)
def test_pieces_are_streamed(start, script, kind):
    server = start(f"def init():\n    pass\n\n{script}")
    status, headers, text = server.request(body="x")
    assert (status, headers["content-type"], text) == (200, kind, "aé")
    assert headers["transfer-encoding"] == "chunked" and headers["x-ms-run-function-failed"] == "False"


def test_the_first_piece_arrives_before_the_second_is_made(start, tmp_path):
    server = start(
        "import os, time\n\ndef init():\n    pass\n\ndef run(path):\n    yield 'first'\n"
        "    while not os.path.exists(path):\n        time.sleep(0.005)\n    yield 'second'\n"
    )
    connection = server.connect()
    connection.request("POST", "/score", body=str(tmp_path / "gate"))
    response = connection.getresponse()
    assert response.read(5) == b"first"
    (tmp_path / "gate").touch()
    assert response.read() == b"second"
    connection.close()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_iterator_that_fails_at_once_is_a_clean_failure(start, kind):
    server = start(f"def init():\n    pass\n\n{kind} run(data):\n    raise ValueError('too early')\n    yield 'x'\n")
    status, headers, text = server.request(body="x")
    assert (status, headers["x-ms-run-function-failed"], json.loads(text)["message"]) == (500, "True", FAILED)
    assert "too early" in server.log() and "line 5, in run" in server.log()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_iterator_that_fails_later_ends_the_connection_without_an_end_of_the_body(start, kind):
    server = start(f"def init():\n    pass\n\n{kind} run(data):\n    yield 'x'\n    raise ValueError('too late')\n")
    with pytest.raises(http.client.IncompleteRead):
        server.request(body="x")
    eventually("the log", lambda: "too late" in server.log())
    assert server.request("GET", "/")[0] == 200


def test_an_iterator_is_closed_when_its_caller_goes(start, tmp_path):
    server = start(
        "def init():\n    pass\n\ndef run(path):\n    try:\n        while True:\n            yield 'x' * 100_000\n"
        "    finally:\n        open(path, 'w').close()\n"
    )
    connection = server.connect()
    connection.request("POST", "/score", body=str(tmp_path / "closed"))
    connection.getresponse().read(10)
    connection.close()
    eventually("the close", (tmp_path / "closed").exists)


def test_nothing_to_stream_is_an_empty_answer(start):
    assert answer(start, "iter(())")[::2] == (200, "")


@pytest.mark.parametrize(
    ("arguments", "status", "kind", "failed", "body"),
    [
        ("None, 333", 333, "application/json", "False", "{}"),
        ("'test', 444", 444, "text/html; charset=utf-8", "False", "test"),
        ("'test', 555, json_str=True", 555, "application/json", "True", '"test"'),
        ("None, 555", 555, "application/json", "True", "{}"),
        ("b'raw', 200", 200, "text/html; charset=utf-8", "False", "raw"),
        ("'x', 200, run_function_failed=True", 200, "text/html; charset=utf-8", "True", "x"),
        ("'x', 200, {'x-ms-run-function-failed': 'True'}", 200, "text/html; charset=utf-8", "True", "x"),
        ("'x', 200, {'Content-Type': 'image/png'}", 200, "image/png", "False", "x"),
        ("['a', b'b'], 200", 200, "text/html; charset=utf-8", "False", "ab"),
        ("(c for c in 'ab'), 200, {'content-type': 'text/event-stream'}", 200, "text/event-stream", "False", "ab"),
        ("(c for c in 'ab'), 500", 500, "text/html; charset=utf-8", "True", "ab"),
        ("{'a': 1}, 200", 200, "application/json", "False", '{"a": 1}'),
        ("[1, 2], '201'", 201, "application/json", "False", "[1, 2]"),
        ("42, 200", 200, "text/html; charset=utf-8", "False", "42"),
    ],
)
def test_amlresponse_says_what_is_sent(start, arguments, status, kind, failed, body):
    found, headers, text = answer(start, f"AMLResponse({arguments})")
    assert (found, headers["content-type"], headers["x-ms-run-function-failed"], text) == (status, kind, failed, body)
    assert "x-ms-run-fn-exec-ms" in headers


def fields(server, name):
    connection = server.connect()
    connection.request("POST", "/score", body="x")
    found = connection.getresponse().headers.get_all(name)
    connection.close()
    return found


def test_header_values_are_cut_at_commas_only_when_strict(start):
    expression = "AMLResponse(None, 555, {'a': 'A, B, C', 'content-type': 'A', 'x-ms-run-function-failed': 'Z'}, run_function_failed=True)"
    server = returning(start, expression)
    assert (fields(server, "a"), fields(server, "content-type"), fields(server, "x-ms-run-function-failed")) == (["A, B, C"], ["A"], ["True"])
    server = returning(start, expression, **STRICT)
    assert (fields(server, "a"), fields(server, "content-type")) == (["A", "B", "C"], ["application/json"])


def test_headers_and_cookies_can_be_set_on_a_response(start):
    before = (
        "def response():\n    r = AMLResponse('', 200)\n    r.headers['X-A'] = 1\n    r.headers.add('X-B', 'one')\n    r.headers.add('X-B', 'two')\n"
        "    r.set_cookie('id', 'a b', max_age=5, httponly=True, samesite='Lax')\n    r.data = 'later'\n    r.mimetype = 'text/plain'\n    r.status = '202 ACCEPTED'\n    return r\n"
    )
    server = returning(start, "response()", before)
    status, headers, text = server.request(body="x")
    assert (status, headers["x-a"], headers["content-type"], text) == (202, "1", "text/plain; charset=utf-8", "later")
    assert fields(server, "x-b") == ["one", "two"]
    assert fields(server, "set-cookie") == ['id="a b"; HttpOnly; Max-Age=5; Path=/; SameSite=Lax']


def test_headers_of_the_server_cannot_be_set_by_a_script(start):
    names = ("x-request-id", "x-ms-request-id", "x-ms-server-version", "x-ms-run-fn-exec-ms")
    server = returning(start, f"AMLResponse('', 200, dict.fromkeys({names!r}, 'mine'))")
    for name in names:
        found = fields(server, name)
        assert len(found) == 1 and found[0] != "mine"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_stream_too(start, workers):
    server = start("import os\n\ndef init():\n    pass\n\ndef run(data):\n    for _ in range(100):\n        yield 'x' * 1000\n", WORKER_COUNT=workers)
    assert server.request(body="x")[::2] == (200, "x" * 100_000)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts descriptors")
def test_a_file_that_is_returned_is_closed(start, tmp_path):
    (tmp_path / "file").write_text("content")
    server = start(f"def init():\n    pass\n\ndef run(data):\n    return open({str(tmp_path / 'file')!r}, 'rb')\n")
    assert server.request(body="x")[2] == "content"
    opened = [os.path.realpath(f"/proc/{server.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{server.process.pid}/fd")]
    assert str(tmp_path / "file") not in opened
