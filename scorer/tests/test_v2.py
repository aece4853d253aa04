"""The Open Inference Protocol over HTTP, without any package beside the scorer."""

import json
import struct

import pytest

STRING = "import json\n\ndef init():\n    pass\n\ndef run(data):\n    return json.loads(data)\n"
OWN = """
import json

def init():
    pass

def run(data):
    return data

def run_v2(inputs):
    if "fail" in inputs:
        raise RuntimeError("secret")
    return {f"{name}-out": values for name, values in inputs.items()}
"""
BINARY = "inference-header-content-length"


def infer(server, inputs, path="/v2/models/model/infer", tail=b"", headers=None, **more):
    """(status, headers, JSON, bytes that follow it)."""
    head = json.dumps({"inputs": inputs, **more}).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    if tail:
        sent[BINARY] = str(len(head))
    connection = server.connect()
    connection.request("POST", path, body=head + tail, headers=sent)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    length = int(found.get(BINARY, len(body)))
    return answer.status, found, json.loads(body[:length]), body[length:]


def tensor(name, datatype, shape, data):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def test_health_readiness_and_metadata_are_answered(start):
    server = start(STRING, SERVICE_NAME="diabetes", SERVICE_VERSION="3")
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/diabetes/ready", "/v2/models/diabetes/versions/3/ready"):
        assert server.request("GET", path)[0] == 200, path
    status, headers, text = server.request("GET", "/v2")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(text)["extensions"] == ["binary_tensor_data"]
    described = {"name": "diabetes", "versions": ["3"], "platform": "azureml_score", "inputs": [], "outputs": []}
    for path in ("/v2/models/diabetes", "/v2/models/diabetes/versions/3"):
        assert json.loads(server.request("GET", path)[2]) == described
    assert server.request("HEAD", "/v2/models/diabetes")[::2] == (200, "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/model/versions/9", 404),
        ("GET", "/v2/models/model/versions/9/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/model/versions/9/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/model/infer", 405),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/model", 405),
    ],
)
def test_what_does_not_exist_is_an_error_in_the_form_of_the_protocol(start, method, path, status):
    found, headers, text = start(STRING).request(method, path, body="{}" if method == "POST" else None)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert list(json.loads(text)) == ["error"]


def test_nothing_is_ready_before_init_has_returned_but_the_server_lives(start):
    script = "import os, time\n\ndef init():\n    while not os.path.exists('go'):\n        time.sleep(0.01)\n\ndef run(d):\n    return d\n"
    server = start(script, ready=False)
    assert server.request("GET", "/v2/health/live")[0] == 200
    assert server.request("GET", "/v2/health/ready")[0] == 400
    assert server.request("GET", "/v2/models/model/ready")[0] == 400
    (server.directory / "go").touch()
    assert server.event() == {"event": "ready"}
    assert server.request("GET", "/v2/models/model/ready")[0] == 200


def test_a_single_tensor_reaches_an_undecorated_run_as_data_and_several_by_their_names(start):
    server = start(STRING)
    status, headers, answer, _ = infer(server, [tensor("x", "FP32", [2, 2], [1, 2, 3, 4.5])], id="one")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert float(headers["x-ms-run-fn-exec-ms"]) >= 0 and headers["x-ms-run-function-failed"] == "False"
    outputs = [{"name": "data", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4.5]}]
    assert answer == {"model_name": "model", "model_version": "1", "outputs": outputs, "id": "one"}
    _, _, answer, _ = infer(server, [tensor("a", "INT8", [1], [7]), tensor("b", "BYTES", [2], ["x", "é"])])
    assert answer["outputs"] == [
        {"name": "a", "datatype": "INT64", "shape": [1], "data": [7]},
        {"name": "b", "datatype": "BYTES", "shape": [2], "data": ["x", "é"]},
    ]


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        ("[[1, 2], [3, 4]]", [("output-0", "INT64", [2, 2], [1, 2, 3, 4])]),
        ("'text'", [("output-0", "BYTES", [1], ["text"])]),
        ("2.5", [("output-0", "FP64", [1], [2.5])]),
        ("[True, False]", [("output-0", "BOOL", [2], [True, False])]),
        ("[]", [("output-0", "FP64", [0], [])]),
        ("[[], []]", [("output-0", "FP64", [2, 0], [])]),
        ("[1, 2.5]", [("output-0", "FP64", [2], [1, 2.5])]),
        ("2**64 - 1", [("output-0", "UINT64", [1], [2**64 - 1])]),
        ("None", []),
        ("{'a': 1, 'b': ['x']}", [("a", "INT64", [1], [1]), ("b", "BYTES", [1], ["x"])]),
        ("[{'a': 1}, {'a': 2}]", [("output-0", "BYTES", [1], ['[{"a": 1}, {"a": 2}]'])]),
        ("[[1], [2, 3]]", [("output-0", "BYTES", [1], ["[[1], [2, 3]]"])]),
        ("{'rows': {'a': None}}", [("rows", "BYTES", [1], ['{"a": null}'])]),
    ],
)
def test_results_become_outputs(start, result, outputs):
    server = start(f"def init():\n    pass\n\ndef run(data):\n    return {result}\n")
    _, _, answer, _ = infer(server, [])
    assert [tuple(output.values()) for output in answer["outputs"]] == outputs


BYTES = b"\x01\x00\x00\x00a\x03\x00\x00\x00\xff\x00b"


@pytest.mark.parametrize(
    ("datatype", "raw", "count"),
    [
        ("BOOL", b"\x01\x00", 2),
        ("INT8", struct.pack("<2b", -1, 2), 2),
        ("INT64", struct.pack("<q", -(2**62)), 1),
        ("UINT64", struct.pack("<q", 2**62), 1),
        ("FP64", struct.pack("<2d", 0.1, 1e300), 2),
        ("BYTES", BYTES, 2),
    ],
)
def test_binary_tensors_come_back_as_they_went(start, datatype, raw, count):
    given = {"name": "x", "datatype": datatype, "shape": [count], "parameters": {"binary_data_size": len(raw)}}
    status, headers, answer, tail = infer(start(OWN), [given], tail=raw, parameters={"binary_data_output": True})
    kept = {"INT8": "INT64", "UINT64": "INT64"}.get(datatype, datatype)
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    assert answer["outputs"] == [{"name": "x-out", "datatype": kept, "shape": [count], "parameters": {"binary_data_size": len(tail)}}]
    expected = struct.pack("<2q", -1, 2) if datatype == "INT8" else raw
    assert tail == expected


@pytest.mark.parametrize(("datatype", "raw", "value"), [("FP16", struct.pack("<e", 1.5), 1.5), ("BF16", b"\xc0\x3f", 1.5), ("FP32", struct.pack("<f", 1.5), 1.5)])
def test_floats_of_every_width_are_read(start, datatype, raw, value):
    given = {"name": "x", "datatype": datatype, "shape": [1, 1], "parameters": {"binary_data_size": len(raw)}}
    assert infer(start(OWN), [given], tail=raw)[2]["outputs"] == [tensor("x-out", "FP64", [1, 1], [value])]


def test_only_the_outputs_that_are_asked_for_are_sent_each_in_its_form(start):
    inputs = [tensor(name, "INT64", [1], [at]) for at, name in enumerate("abc")]
    wanted = [{"name": "c-out", "parameters": {"binary_data": True}}, {"name": "a-out"}]
    _, _, answer, tail = infer(start(OWN), inputs, outputs=wanted)
    assert answer["outputs"] == [
        {"name": "c-out", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
        tensor("a-out", "INT64", [1], [0]),
    ]
    assert tail == struct.pack("<q", 2)


ONE = {"name": "x", "datatype": "INT64", "shape": [1]}


@pytest.mark.parametrize(
    ("inputs", "tail", "more", "said"),
    [
        ([{**ONE, "data": [1, 2]}], b"", {}, "2 elements"),
        ([{**ONE, "data": [1.5]}], b"", {}, "whole numbers"),
        ([{**ONE, "data": ["1"]}], b"", {}, "whole numbers"),
        ([{**ONE, "datatype": "INT8", "data": [128]}], b"", {}, "INT8"),
        ([{**ONE, "datatype": "STRING", "data": ["a"]}], b"", {}, "STRING"),
        ([{**ONE, "shape": [-1], "data": [1]}], b"", {}, "shape"),
        ([{**ONE, "shape": [2**60, 2**60], "data": [1]}], b"", {}, "elements"),
        ([{**ONE, "shape": [2**40, 0], "data": []}], b"", {}, "too large"),
        ([ONE], b"", {}, "neither"),
        ([{**ONE, "data": [1]}, {**ONE, "data": [1]}], b"", {}, "same name"),
        ([{**ONE, "data": [[[1]], 2]}], b"", {}, "nested"),
        ([{**ONE, "parameters": {"binary_data_size": 4}}], b"1234", {}, "4 bytes"),
        ([{**ONE, "parameters": {"binary_data_size": 9}}], b"1234", {}, "binary_data_size"),
        ([{**ONE, "data": [1]}], b"1234", {}, "4 bytes follow"),
        ([{**ONE, "datatype": "BYTES", "parameters": {"binary_data_size": 5}}], b"\xff\xff\xff\xffa", {}, "length"),
        ([{**ONE, "parameters": {"shared_memory_region": "r"}}], b"", {}, "shared memory"),
        ([{**ONE, "data": [1]}], b"", {"outputs": [{"name": "y"}]}, "'y'"),
        ([7], b"", {}, "Input 0"),
        ({}, b"", {}, "inputs"),
    ],
)
def test_a_request_that_is_not_of_the_protocol_is_a_400_that_names_the_fault(start, inputs, tail, more, said):
    status, headers, answer, _ = infer(start(OWN), inputs, tail=tail, **more)
    assert (status, headers["x-ms-run-function-failed"]) == (400, "False")
    assert list(answer) == ["error"] and said in answer["error"]


def test_a_body_that_is_no_json_or_shorter_than_stated_is_a_400(start):
    server = start(OWN)
    for body, headers in (("{", {}), ("[]", {}), ("{}", {BINARY: "9"}), ("{}", {BINARY: "-1"}), ("[" * 100_000, {})):
        status, _, text = server.request(path="/v2/models/model/infer", body=body, headers=headers)
        assert status == 400 and list(json.loads(text)) == ["error"]


def test_a_failure_of_the_script_is_a_500_that_tells_the_caller_nothing_and_the_log_everything(start):
    server = start(OWN)
    status, headers, answer, _ = infer(server, [tensor("fail", "INT64", [1], [1])], headers={"x-request-id": "r-9"})
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert list(answer) == ["error"] and "secret" not in answer["error"]
    assert "RuntimeError: secret" in server.log() and "[r-9]" in server.log()


def test_a_response_of_the_script_keeps_its_status_as_an_error(start):
    server = start(
        "from azureml.contrib.services.aml_response import AMLResponse\n\ndef init():\n    pass\n\n"
        "def run(data):\n    return AMLResponse('no such row', 404)\n"
    )
    status, _, answer, _ = infer(server, [])
    assert (status, answer) == (404, {"error": "no such row"})


def test_a_number_that_json_lacks_is_sent_only_as_binary(start):
    server = start("def init():\n    pass\n\ndef run(data):\n    return [float('nan')]\n")
    assert infer(server, [])[0] == 500
    status, _, _, tail = infer(server, [], parameters={"binary_data_output": True})
    assert status == 200 and struct.unpack("<d", tail)[0] != 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_inferences_run_in_worker_processes_and_beside_the_scoring_route(start, workers):
    server = start(OWN, WORKER_COUNT=workers, AZUREML_MODEL_NAME="mine")
    for number in range(20):
        answer = infer(server, [tensor("x", "INT64", [1], [number])], path="/v2/models/mine/versions/1/infer")[2]
        assert answer["outputs"][0]["data"] == [number] and answer["model_name"] == "mine"
        assert json.loads(server.request(body=str(number))[2]) == str(number)


def test_an_inference_over_its_deadline_is_an_error_of_the_protocol(start):
    server = start("import time\n\ndef init():\n    pass\n\ndef run(data):\n    time.sleep(3600)\n", SCORING_TIMEOUT_MS="100")
    status, headers, answer, _ = infer(server, [])
    assert status in (500, 504) and list(answer) == ["error"] and headers["x-ms-run-function-failed"] == "True"


def test_request_headers_and_keyword_parameters_are_given_as_on_the_scoring_route(start):
    server = start("def init():\n    pass\n\ndef run(*, data, request_headers):\n    return [data, request_headers['X-Who']]\n")
    assert infer(server, [], headers={"x-who": "me"})[2]["outputs"] == [tensor("output-0", "BYTES", [2], ["{}", "me"])]
    server = start(
        "from inference_schema.schema_decorators import input_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Py\n\n"
        "def init():\n    pass\n\n@input_schema('x', Py([1]))\ndef run(x, request_headers):\n    return [str(x), request_headers['X-Who']]\n"
    )
    described = json.loads(server.request("GET", "/v2/models/model")[2])
    assert [one["name"] for one in described["inputs"]] == ["x"]
    answer = infer(server, [tensor("any", "INT64", [1], [3])], headers={"x-who": "me"})[2]
    assert answer["outputs"] == [tensor("output-0", "BYTES", [2], ["[3]", "me"])]


@pytest.mark.parametrize("mark", ["@batch()", "@batch(max_size=2)"])
def test_a_run_of_batches_gets_one_inference_at_a_time(start, mark):
    server = start(f"from azureml_scorer import batch\n\ndef init():\n    pass\n\n{mark}\ndef run(rows):\n    return [len(rows) for row in rows]\n")
    assert infer(server, [tensor("x", "INT64", [1], [3])])[2]["outputs"] == [tensor("output-0", "INT64", [1], [1])]


def test_an_async_run_answers_inferences(start):
    server = start("import asyncio\n\ndef init():\n    pass\n\nasync def run(data):\n    await asyncio.sleep(0)\n    return [1, 2]\n")
    assert infer(server, [])[2]["outputs"] == [tensor("output-0", "INT64", [2], [1, 2])]


def test_a_script_for_raw_requests_says_that_it_needs_a_function_for_tensors(start):
    server = start(
        "from azureml.contrib.services.aml_request import rawhttp\n\ndef init():\n    pass\n\n@rawhttp\ndef run(request):\n    return 1\n"
    )
    status, _, answer, _ = infer(server, [])
    assert status == 501 and "run_v2" in answer["error"]


def test_parameters_of_a_schema_get_the_tensors_of_their_names(start):
    server = start(
        "from inference_schema.schema_decorators import input_schema, output_schema\n"
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Py\n\n"
        "def init():\n    pass\n\n"
        "@input_schema('rows', Py([[1.5, 2.5]]))\n@input_schema('name', Py('x'))\n@input_schema('options', Py({'deep': True}))\n"
        "@output_schema(Py([1.5]))\n"
        "def run(rows, name, options):\n    return {'sums': [sum(row) for row in rows], 'seen': f'{name} {options}'}\n"
    )
    described = json.loads(server.request("GET", "/v2/models/model")[2])
    assert {t["name"]: (t["datatype"], t["shape"]) for t in described["inputs"]} == {
        "rows": ("FP64", [-1, 2]),
        "name": ("BYTES", [1]),
        "options": ("BYTES", [1]),
    }
    assert described["outputs"] == [{"name": "output-0", "datatype": "FP64", "shape": [-1]}]
    inputs = [tensor("name", "BYTES", [1], ["n"]), tensor("options", "BYTES", [1], ['{"deep": false}']), tensor("rows", "FP64", [2, 2], [1, 2, 3, 4])]
    _, _, answer, _ = infer(server, inputs)
    assert answer["outputs"] == [tensor("sums", "FP64", [2], [3, 7]), tensor("seen", "BYTES", [1], ["n {'deep': False}"])]
    status, _, answer, _ = infer(server, [*inputs, tensor("more", "BYTES", [1], ["n"])])
    assert status == 400 and "'more'" in answer["error"]
    status, _, answer, _ = infer(server, inputs[1:])
    assert status == 400 and "name" in answer["error"]
    status, _, answer, _ = infer(server, [inputs[0], tensor("options", "BYTES", [1], ["{"]), inputs[2]])
    assert status == 400 and "JSON" in answer["error"]
