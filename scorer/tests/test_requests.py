"""Input and output conventions over the wire."""

import json

import pytest
from conftest import eventually

ECHO = "def init():\n    pass\n\ndef run(raw_data):\n    return raw_data\n"
JSON = {"content-type": "application/json"}


def test_a_body_reaches_run_as_text_and_its_result_comes_back_as_json(start):
    status, headers, text = start(ECHO).request(body='{"x": 1}', headers=JSON)
    assert (status, json.loads(text)) == (200, '{"x": 1}')
    assert headers["content-type"] == "application/json"
    assert headers["x-ms-run-function-failed"] == "False"
    assert float(headers["x-ms-run-fn-exec-ms"]) >= 0
    assert headers["x-ms-server-version"].startswith("azmlinfsrv/")


@pytest.mark.parametrize(
    ("result", "expected"),
    [("{'a': [1, 2.5]}", {"a": [1, 2.5]}), ("(1, 2)", [1, 2]), ("None", {}), ("'text'", "text"), ("True", True)],
)
def test_results_are_sent_as_json(start, result, expected):
    server = start(f"def init():\n    pass\n\ndef run(data):\n    return {result}\n")
    status, _, text = server.request(body="{}")
    assert (status, json.loads(text)) == (200, expected)


def test_a_result_that_json_cannot_express_is_a_failure_with_the_reason_in_the_log(start):
    server = start("def init():\n    pass\n\ndef run(data):\n    return {1, 2}\n")
    status, headers, text = server.request(body="{}")
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert "set" not in json.loads(text)["message"]
    assert "not JSON serializable" in server.log()


@pytest.mark.parametrize("module", ["azureml_inference_server_http.api.aml_response", "azureml.contrib.services.aml_response"])
def test_amlresponse_chooses_status_and_headers(start, module):
    server = start(
        f"from {module} import AMLResponse\n\ndef init():\n    pass\n\n"
        "def run(data):\n    return AMLResponse({'why': data}, 418, {'X-Tea': 'pot, black'}, json_str=True)\n"
    )
    status, headers, text = server.request(body="no coffee")
    assert (status, json.loads(text), headers["x-tea"]) == (418, {"why": "no coffee"}, "pot, black")
    assert (headers["content-type"], headers["x-ms-run-function-failed"]) == ("application/json", "False")


def test_an_exception_is_a_500_that_tells_the_caller_nothing_and_the_log_everything(start):
    server = start("def init():\n    pass\n\ndef run(data):\n    raise RuntimeError('secret ' + data)\n")
    status, headers, text = server.request(body="reason", headers={"x-request-id": "r-1"})
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert "secret" not in text and "An unexpected error occurred" in json.loads(text)["message"]
    assert "RuntimeError: secret reason" in server.log() and "[r-1]" in server.log()
    assert server.request(body="again")[0] == 500


def test_a_body_that_is_not_utf8_is_a_400(start):
    assert start(ECHO).request(body=b"\xff\xfe")[0] == 400


def test_the_query_of_a_get_reaches_run_as_json_text(start):
    status, _, text = start(ECHO).request("GET", "/score?a=1&b=x&b=2")
    assert status == 200 and json.loads(json.loads(text)) == {"a": 1, "b": ["x", 2]}


def test_options_does_not_run_the_script_and_other_methods_are_refused(start):
    server = start(ECHO)
    assert server.request("OPTIONS")[::2] == (200, "")
    assert server.request("PUT", body="x")[0] == 405
    assert server.request("GET", "/nothing")[0] == 404


def test_request_headers_are_given_to_a_run_that_asks_for_them(start):
    server = start("def init():\n    pass\n\ndef run(data, request_headers):\n    return request_headers['X-Who']\n")
    assert json.loads(server.request(body="{}", headers={"x-who": "me"})[2]) == "me"


IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((None, None, None), ("*", "*", None)),
        (("A", None, None), ("A", "A", None)),
        ((None, "B", None), ("*", "B", "B")),
        ((None, None, "C"), ("*", "C", "C")),
        (("A", "B", None), ("A", "B", "B")),
        ((None, "B", "C"), ("*", "B", "C")),
        (("A", None, "C"), ("A", "C", "C")),
        (("A", "B", "C"), ("A", "B", "C")),
    ],
)
def test_request_ids_are_echoed_as_the_original_does(start, sent, expected):
    _, headers, _ = start(ECHO).request(body="{}", headers={n: v for n, v in zip(IDS, sent, strict=True) if v})
    generated = headers["x-request-id"]
    assert tuple(headers.get(name) for name in IDS) == tuple(generated if v == "*" else v for v in expected)


@pytest.mark.parametrize("name", IDS)
def test_an_id_of_more_than_100_characters_is_a_431(start, name):
    assert start(ECHO).request(body="{}", headers={name: "x" * 101})[0] == 431


@pytest.mark.parametrize(("query", "field"), [("", "swagger"), ("?version=2.0", "swagger"), ("?version=3", "openapi"), ("?version=3.1", "openapi")])
def test_swagger_documents_describe_the_score_route(start, query, field):
    status, _, text = start(ECHO, SERVICE_NAME="diabetes").request("GET", f"/swagger.json{query}")
    document = json.loads(text)
    assert status == 200 and field in document and document["info"]["title"] == "diabetes"
    assert "post" in document["paths"]["/score"]


def test_an_unknown_swagger_version_is_a_404_that_names_the_known_ones(start):
    status, _, text = start(ECHO).request("GET", "/swagger.json?version=4")
    assert status == 404 and "3.1" in json.loads(text)["message"]


def test_prints_become_log_lines_with_the_request_id(start):
    server = start("def init():\n    print('loading')\n\ndef run(data):\n    print('scoring', data)\n    return 1\n")
    server.request(body="42", headers={"x-request-id": "r-7"})
    assert "azmlinfsrv.print - loading" in server.log()
    assert "azmlinfsrv.print - [r-7] scoring 42" in server.log()
    eventually("the access log", lambda: "[r-7] POST /score 200" in server.log())


def test_a_body_over_the_limit_is_a_413(start):
    assert start(ECHO, AZUREML_MAX_BODY_BYTES="10").request(body="x" * 11)[0] == 413


def test_a_chunked_body_arrives_whole(start):
    server = start(ECHO)
    connection = server.connect()
    connection.request("POST", "/score", body=iter([b"ab", b"cd" * 50_000]), encode_chunked=True, headers={"transfer-encoding": "chunked"})
    answer = connection.getresponse()
    assert json.loads(answer.read()) == "ab" + "cd" * 50_000
    connection.close()


@pytest.mark.parametrize("fields", ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: +3"])
def test_an_ambiguous_body_length_is_a_400_and_closes(start, fields):
    connection = start(ECHO).connect()
    connection.connect()
    connection.sock.sendall(f"POST /score HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\nabc".encode())
    received = b""
    while part := connection.sock.recv(65536):
        received += part
    assert received.startswith(b"HTTP/1.1 400 ") and received.count(b"HTTP/1.1") == 1
    connection.close()


def test_log_records_of_user_code_carry_the_request_id(start):
    server = start("import logging\n\ndef init():\n    pass\n\ndef run(data):\n    logging.getLogger('mine').warning('odd %s', data)\n    return 1\n")
    server.request(body="42", headers={"x-request-id": "r-8"})
    assert "mine - [r-8] odd 42" in server.log()


def test_bytes_are_sent_as_they_are(start):
    status, headers, text = start("def init():\n    pass\n\ndef run(data):\n    return b'raw'\n").request(body="{}")
    assert (status, headers["content-type"], text) == (200, "application/octet-stream", "raw")


@pytest.mark.parametrize("arguments", ["'x', 99", "'x', 200, {'a b': 'c'}", "'x', 200, {'a': 'b\\r\\nc: d'}"])
def test_a_response_that_http_cannot_carry_is_a_failure(start, arguments):
    server = start(
        "from azureml.contrib.services.aml_response import AMLResponse\n\ndef init():\n    pass\n\n"
        f"def run(data):\n    return AMLResponse({arguments})\n"
    )
    status, headers, _ = server.request(body="{}")
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert server.request("GET", "/")[0] == 200


def test_headers_of_a_script_cannot_change_the_framing(start):
    server = start(
        "from azureml.contrib.services.aml_response import AMLResponse\n\ndef init():\n    pass\n\n"
        "def run(data):\n    return AMLResponse('abc', 200, {'Content-Length': '1', 'Transfer-Encoding': 'chunked'})\n"
    )
    assert server.request(body="{}")[::2] == (200, "abc")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sys_exit_in_run_fails_one_request_and_not_the_server(start, workers):
    server = start("import sys\n\ndef init():\n    pass\n\ndef run(data):\n    if data == 'exit':\n        sys.exit(0)\n    return 1\n", WORKER_COUNT=workers)
    assert server.request(body="exit")[0] == 500
    assert server.request(body="x")[0] == 200


HOST = "Host: x\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"POST /score HTTP/1.1\n{HOST}\r\n", 400),
        (f"POST /score HTTP/1.1\r\n{HOST}A: b\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
        (f"get / HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"CONNECT x:1 HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"GET score HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"POST /score HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (f"POST /score HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (f"POST /score HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (f"POST /score HTTP/1.1\r\n{HOST}Expect: magic\r\n\r\n", 417),
        (f"POST /score HTTP/1.1\r\n{HOST}x-azureml-limit: many\r\n\r\n", 400),
        (f"GET / HTTP/1.1\r\n{HOST}A: {'b' * 70_000}\r\n\r\n", 431),
        (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused_and_the_connection_closed(start, head, status):
    connection = start(ECHO).connect()
    connection.connect()
    connection.sock.sendall(head.encode())
    received = b""
    while part := connection.sock.recv(65536):
        received += part
    assert received.startswith(f"HTTP/1.1 {status} ".encode()), received
    assert received.count(b"connection: close") == 1
    connection.close()


def test_pipelined_requests_are_answered_in_order_on_one_connection(start):
    connection = start(ECHO).connect()
    connection.connect()
    request = "POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n{}\r\n{}"
    connection.sock.sendall((request.format("", "1") + request.format("Connection: close\r\n", "2")).encode())
    received = b""
    while part := connection.sock.recv(65536):
        received += part
    assert received.count(b"HTTP/1.1 200 OK") == 2 and received.index(b'"1"') < received.index(b'"2"')
    connection.close()
