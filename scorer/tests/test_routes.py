"""Ids, health, origins, methods and routes over the wire, in the original's words."""

import json
import uuid

import pytest
from command import Command
from ports import free_port

ECHO = "def init():\n    pass\n\ndef run(data):\n    if data == 'error':\n        raise ValueError\n    return data\n"
IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


@pytest.mark.parametrize("body", ["x", "error"])
def test_a_request_without_an_id_gets_one_that_is_a_uuid(start, body):
    headers = start(ECHO).request(body=body)[1]
    assert str(uuid.UUID(headers["x-request-id"])) == headers["x-request-id"] == headers["x-ms-request-id"]
    assert "x-ms-client-request-id" not in headers


@pytest.mark.parametrize("body", ["x", "error"])
def test_failures_carry_ids_and_the_trace_id_too(start, body):
    headers = start(ECHO).request(body=body, headers={"x-request-id": "A", "x-ms-client-request-id": "C", "TraceId": "T"})[1]
    assert [headers[name] for name in (*IDS, "traceid")] == ["A", "C", "C", "T"]


@pytest.mark.parametrize("environment", [{}, {"AZUREML_COMPAT": "strict"}])
def test_ids_that_are_too_long_are_refused_in_the_originals_words(start, environment):
    server = start(ECHO, **environment)
    assert server.request(body="x", headers={"x-request-id": "A" * 100})[0] == 200
    status, headers, text = server.request(body="x", headers={"x-request-id": "A" * 101})
    assert (status, json.loads(text)) == (431, {"message": "x-request-id must not exceed 100 characters"})
    assert not set(IDS) & set(headers)
    for name in IDS[1:]:
        assert server.request(body="x", headers={name: "B" * 100})[0] == 200
        status, headers, text = server.request(body="x", headers={"x-request-id": "A", name: "B" * 101})
        assert (status, headers["x-request-id"]) == (431, "A") and not set(IDS[1:]) & set(headers)
        assert json.loads(text) == {"message": "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/does_not_exist", 404, "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."),
        ("POST", "/score/", 404, "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."),
        ("DELETE", "/", 405, "The method is not allowed for the requested URL."),
        ("PUT", "/score", 405, "The method is not allowed for the requested URL."),
        ("GET", "/swagger.json?version=3.0a", 404, "Swagger version [3.0a] is not valid. Supported versions: [2, 3, 3.1]."),
    ],
)
def test_what_there_is_not_is_refused_in_the_originals_words(start, method, path, status, message):
    found, headers, text = start(ECHO).request(method, path)
    assert (found, json.loads(text), headers["content-type"]) == (status, {"message": message}, "application/json")
    assert headers["x-ms-run-function-failed"] == "False"


@pytest.mark.parametrize(("value", "shown"), [("true", True), ("TRUE", True), ("false", False), ("notgood", False)])
def test_the_version_header_can_be_left_out(start, value, shown):
    server = start(ECHO, SERVER_VERSION_LOG_RESPONSE_ENABLED=value)
    for method, path in (("POST", "/score"), ("GET", "/"), ("GET", "/swagger.json")):
        assert ("x-ms-server-version" in server.request(method, path)[1]) is shown


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("www.microsoft.com, www.bing.com", "www.bing.com", "www.bing.com"),
        ("www.microsoft.com", "WWW.Microsoft.com", "WWW.Microsoft.com"),
        ("www.microsoft.com", "www.azure.com", None),
        ("*", "https://a.b", "https://a.b"),
    ],
)
def test_browsers_of_allowed_origins_may_read_answers(start, origins, origin, allowed):
    server = start(ECHO, AML_CORS_ORIGINS=origins)
    for method, body in (("POST", "x"), ("POST", "error"), ("OPTIONS", None), ("GET", None)):
        assert server.request(method, body=body, headers={"origin": origin})[1].get("access-control-allow-origin") == allowed
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-a, x-b"}
    status, headers, text = server.request("OPTIONS", headers=asked)
    assert (status, text) == (200, "")
    assert headers.get("access-control-allow-methods") == (allowed and "GET, POST")
    assert headers.get("access-control-allow-headers") == (allowed and "x-a, x-b")


def test_without_the_setting_no_origin_is_allowed_and_options_still_is_a_200(start):
    status, headers, _ = start(ECHO).request("OPTIONS", headers={"origin": "a.b"})
    assert status == 200 and "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", "/swagger.json"])
def test_options_of_the_other_routes_name_their_methods(start, path):
    status, headers, text = start(ECHO).request("OPTIONS", path)
    assert (status, text, headers["allow"]) == (200, "", "GET, HEAD, OPTIONS")


def test_a_health_port_answers_beside_the_other(tmp_path):
    port = free_port()
    server = Command(tmp_path, "--health_port", port, script=ECHO, SEPERATE_HEALTH_ENDPOINT="true")
    try:
        server.healthy().healthy(port=port)
        assert server.request(body="x", port=port)[::2] == (200, b'"x"')
    finally:
        server.close()


def test_without_the_setting_there_is_no_health_port(tmp_path):
    port = free_port()
    server = Command(tmp_path, "--health_port", port, script=ECHO)
    try:
        server.healthy()
        with pytest.raises(OSError):
            server.request("GET", "/", port=port)
    finally:
        server.close()


def test_the_line_of_a_stream_has_no_length(start):
    server = start("def init():\n    pass\n\ndef run(data):\n    yield 'x'\n")
    assert server.request(body="x")[0] == 200
    server.process.terminate()
    server.process.wait(60)
    assert "ms N/A\n" in server.log()


def test_a_time_out_is_a_500_when_strict_and_says_after_how_long(start):
    server = start("import time\n\ndef init():\n    pass\n\ndef run(data):\n    while True:\n        time.sleep(0.005)\n", SCORING_TIMEOUT_MS="200", AZUREML_COMPAT="strict")
    status, headers, text = server.request(body="x", headers={"x-request-id": "A"})
    assert (status, json.loads(text)) == (500, {"message": "Scoring timeout after 200 ms"})
    assert (headers["x-ms-run-function-failed"], headers["x-request-id"]) == ("True", "A")
