"""The hop secret, by which a scorer in a cluster knows its router."""

import json

import pytest

from command import Command
from ports import free_port

SECRET = "hop-secret-of-the-service"
HOP = {"x-azureml-hop": SECRET}
SHOW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

def init():
    pass

@rawhttp
def run(request):
    return AMLResponse(str(sorted(name.lower() for name, _ in request.headers)), 200)
"""
PLAIN = "import json\n\ndef init():\n    pass\n\ndef run(data):\n    return json.loads(data)\n"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    # Editors and `kubectl create secret --from-file` leave a line end.
    path.write_text(SECRET + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/score"),
        ("OPTIONS", "/score"),
        ("DELETE", "/score"),
        ("GET", "/swagger.json"),
        ("GET", "/.azureml/slot"),
        ("GET", "/v2"),
        ("GET", "/v2/models/model/ready"),
        ("POST", "/v2/models/model/infer"),
        ("POST", "/"),
        ("POST", "/v2/health/live"),
        ("GET", "/nothing"),
    ],
)
def test_who_does_not_know_the_hop_secret_is_refused_on_every_route(start, secret, method, path):
    server = start(PLAIN, AZUREML_HOP_SECRET_FILE=secret)
    for headers in ({}, {"x-azureml-hop": ""}, {"x-azureml-hop": SECRET[:-1]}, {"x-azureml-hop": SECRET + "x"}):
        status, answered, text = server.request(method, path, body="{}" if method == "POST" else None, headers=headers)
        assert (status, answered["content-type"]) == (403, "application/json")
        assert "Only the router of the service may call" in str(json.loads(text))
    assert server.request(method, path, body="{}" if method == "POST" else None, headers=HOP)[0] != 403
    assert SECRET not in server.log()


def test_health_needs_no_secret(start, secret):
    server = start(PLAIN, AZUREML_HOP_SECRET_FILE=secret)
    for method, path in (("GET", "/"), ("HEAD", "/"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready")):
        assert server.request(method, path)[0] == 200, (method, path)


def test_the_refusal_comes_before_the_body(start, secret):
    connection = start(PLAIN, AZUREML_HOP_SECRET_FILE=secret).connect()
    connection.putrequest("POST", "/score")
    connection.putheader("content-length", "1000000")
    connection.putheader("expect", "100-continue")
    connection.endheaders()
    assert connection.getresponse().status == 403


@pytest.mark.parametrize("workers", ["1", "2"])
def test_scripts_never_see_the_secret(start, secret, workers):
    server = start(SHOW, AZUREML_HOP_SECRET_FILE=secret, WORKER_COUNT=workers)
    status, _, text = server.request(body="x", headers={"X-AzureML-Hop": SECRET, "x-other": "1"})
    assert status == 200
    assert "x-other" in text and "hop" not in text


def test_a_second_port_asks_for_the_secret_too(tmp_path, secret):
    health = free_port()
    flags = ("--health_port", health)
    server = Command(
        tmp_path, *flags, script=PLAIN, SEPERATE_HEALTH_ENDPOINT="true", AZUREML_HOP_SECRET_FILE=secret
    )
    try:
        server.healthy().healthy(health)
        for port in (None, health):
            assert server.request(body="[1]", port=port)[0] == 403
            assert server.request(body="[1]", port=port, headers=HOP)[::2] == (200, b"[1]")
    finally:
        server.close()


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), ("", "is empty"), (" \n", "is empty"), ("two\nlines", "one line"), ("x" * 4097, "at most 4096")],
)
def test_a_secret_that_cannot_be_used_ends_the_start_and_says_why(start, tmp_path, content, why):
    path = tmp_path / "bad"
    if content is not None:
        path.write_text(content)
    log = tmp_path / "termination"
    server = start(PLAIN, ready=False, AZUREML_HOP_SECRET_FILE=str(path), AZUREML_TERMINATION_LOG=str(log))
    event = server.event()
    assert (event["event"], event["reason"]) == ("failed", "start_failed")
    assert "AZUREML_HOP_SECRET_FILE" in event["message"] and str(path) in event["message"] and why in event["message"]
    assert server.process.wait(60) == 3
    assert json.loads(log.read_text()) == event


def test_without_a_secret_everybody_may_call(start):
    assert start(PLAIN).request(body="[1]")[::2] == (200, "[1]")
