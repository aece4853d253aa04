"""The Open Inference Protocol with the clients that most people use for it: `tritonclient`, over HTTP and gRPC."""

import threading
import time

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from ports import free_port
from tritonclient.utils import InferenceServerException

CLIENTS = pytest.mark.parametrize("api", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])

SCHEMA = """
import numpy
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType

def init():
    pass

@input_schema("rows", NumpyParameterType(numpy.zeros((1, 3), dtype="float32")))
@output_schema(NumpyParameterType(numpy.zeros((1,), dtype="float32")))
def run(rows):
    assert rows.dtype == numpy.float32, rows.dtype
    return rows.sum(axis=1)
"""
FRAME = """
import pandas
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType

def init():
    pass

@input_schema("data", PandasParameterType(pandas.DataFrame({"n": [1], "x": [1.5], "who": ["a"]})))
def run(data):
    return data.assign(x=data.x * data.n)
"""
ECHO = """
import numpy

def init():
    pass

def run(data):
    return data

def run_v2(inputs):
    assert all(type(values) is numpy.ndarray and values.flags.writeable for values in inputs.values())
    return inputs
"""


@pytest.fixture
def connect(serve):
    """Starts our server with a script: its client of one kind."""
    clients = []

    def start(api, script, **environment):
        port = free_port()
        server = serve("ours", script, AZUREML_GRPC_PORT=str(port), AZUREML_MODEL_NAME="m", SERVICE_VERSION="7", **environment)
        client = api.InferenceServerClient(f"127.0.0.1:{server.port if api is tritonclient.http else port}")
        clients.append(client)
        return client, server

    yield start
    for client in clients:
        client.close()


def given(api, name, values, datatype=None, **how):
    names = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "object": "BYTES"}
    kind = values.dtype.name
    tensor = api.InferInput(name, list(values.shape), datatype or names.get(kind, kind.upper()))
    tensor.set_data_from_numpy(values, **how)
    return tensor


def plain(document):
    """Metadata of either client as a dictionary."""
    if isinstance(document, dict):
        return document
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(document, preserving_proto_field_name=True)


@CLIENTS
def test_health_and_metadata(connect, api):
    client, _ = connect(api, SCHEMA)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("m") and client.is_model_ready("m", "7")
    assert plain(client.get_server_metadata())["extensions"] == ["binary_tensor_data"]
    described = plain(client.get_model_metadata("m", "7"))
    assert (described["name"], described["versions"], described["platform"]) == ("m", ["7"], "azureml_score")
    sizes = [[(one["name"], one["datatype"], [int(size) for size in one["shape"]]) for one in described[kind]] for kind in ("inputs", "outputs")]
    assert sizes == [[("rows", "FP32", [-1, 3])], [("output-0", "FP32", [-1])]]


@CLIENTS
def test_an_unknown_model_is_an_error_that_names_it(connect, api):
    client, _ = connect(api, ECHO)
    for call in (lambda: client.get_model_metadata("other"), lambda: client.infer("m", [], model_version="8"), lambda: client.infer("other", [])):
        with pytest.raises(InferenceServerException, match="other|8") as raised:
            call()
        assert raised.value.status() in ("404", "StatusCode.NOT_FOUND", None)


@CLIENTS
def test_a_schema_gets_its_array_and_answers_with_one(connect, api):
    client, _ = connect(api, SCHEMA)
    rows = numpy.array([[1, 2, 3], [4, 5, 6.5]], dtype="float32")
    answer = client.infer("m", [given(api, "rows", rows)], request_id="id-1", headers={"x-request-id": "r-1"})
    assert answer.as_numpy("output-0").dtype == numpy.float32
    assert answer.as_numpy("output-0").tolist() == [6, 15.5]
    response = plain(answer.get_response())
    assert (response["model_name"], response["model_version"], response["id"]) == ("m", "7", "id-1")
    # Another name, and a datatype that the schema casts.
    answer = client.infer("m", [given(api, "x", rows.astype("int64"))])
    assert answer.as_numpy("output-0").tolist() == [6, 15]
    with pytest.raises(InferenceServerException, match="shape"):
        client.infer("m", [given(api, "rows", rows[:, :2])])


@CLIENTS
def test_columns_become_a_data_frame_and_come_back_as_columns(connect, api):
    client, _ = connect(api, FRAME)
    inputs = [
        given(api, "n", numpy.array([2, 3])),
        given(api, "x", numpy.array([[1.5], [2.5]])),
        given(api, "who", numpy.array(["a".encode(), "é".encode()], dtype=object)),
    ]
    answer = client.infer("m", inputs)
    assert answer.as_numpy("x").tolist() == [3, 7.5] and answer.as_numpy("n").tolist() == [2, 3]
    assert [value.decode() for value in answer.as_numpy("who")] == ["a", "é"]
    with pytest.raises(InferenceServerException, match="who"):
        client.infer("m", inputs[:2])


VALUES = {
    **{name: numpy.array([[0, 1], [2, 100]], dtype=name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    **{name: numpy.array([[0.5], [-2]], dtype=name) for name in ("float16", "float32", "float64")},
    "bool": numpy.array([True, False]),
    "bytes": numpy.array([b"a", b"", b"\xff\x00", "é".encode()], dtype=object),
    "empty": numpy.zeros((0, 4), dtype="float32"),
    "nan": numpy.array([numpy.nan, numpy.inf], dtype="float64"),
}


@CLIENTS
@pytest.mark.parametrize("kind", VALUES)
def test_every_datatype_comes_back_as_it_went_in_binary(connect, api, kind):
    client, _ = connect(api, ECHO)
    values = VALUES[kind]
    answer = client.infer("m", [given(api, "x", values)])
    found = answer.as_numpy("x")
    assert found.dtype == values.dtype and found.shape == values.shape
    assert numpy.array_equal(found, values, equal_nan=kind == "nan")


@pytest.mark.parametrize("kind", ["int8", "uint64", "float32", "bool"])
def test_tensors_and_outputs_as_json(connect, kind):
    client, _ = connect(tritonclient.http, ECHO)
    values = VALUES[kind]
    api = tritonclient.http
    answer = client.infer("m", [given(api, "x", values, binary_data=False)], outputs=[api.InferRequestedOutput("x", binary_data=False)])
    assert "data" in answer.get_response()["outputs"][0]
    assert answer.as_numpy("x").dtype == values.dtype and numpy.array_equal(answer.as_numpy("x"), values)


def test_a_compressed_request_is_read(connect):
    client, _ = connect(tritonclient.http, ECHO)
    values = numpy.arange(1000, dtype="int32")
    for coding in ("gzip", "deflate"):
        answer = client.infer("m", [given(tritonclient.http, "x", values)], request_compression_algorithm=coding)
        assert numpy.array_equal(answer.as_numpy("x"), values)


def test_typed_contents_of_grpc_are_answered_with_typed_contents(connect):
    client, _ = connect(tritonclient.grpc, ECHO)
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="m")
    fields = {"INT8": ("int_contents", [-1, 2]), "UINT64": ("uint64_contents", [2**63]), "FP32": ("fp32_contents", [1.5]), "BYTES": ("bytes_contents", [b"\xff", b""]), "BOOL": ("bool_contents", [True])}
    for datatype, (field, values) in fields.items():
        tensor = request.inputs.add(name=datatype, datatype=datatype, shape=[len(values)])
        getattr(tensor.contents, field).extend(values)
    response = client._client_stub.ModelInfer(request)
    assert not response.raw_output_contents
    assert {output.name: list(getattr(output.contents, fields[output.name][0])) for output in response.outputs} == {name: values for name, (_, values) in fields.items()}
    request.inputs[0].contents.int_contents[0] = 128
    import grpc

    with pytest.raises(grpc.RpcError) as raised:
        client._client_stub.ModelInfer(request)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT and "INT8" in raised.value.details()


@CLIENTS
def test_a_failing_script_is_an_error_without_its_details(connect, api):
    client, server = connect(api, "def init():\n    pass\n\ndef run(data):\n    raise RuntimeError('secret')\n")
    with pytest.raises(InferenceServerException) as raised:
        client.infer("m", [given(api, "x", numpy.array([1]))])
    assert "secret" not in str(raised.value) and "RuntimeError: secret" in server.log()


def test_a_call_over_its_deadline_is_an_error(connect):
    client, _ = connect(tritonclient.grpc, "import time\n\ndef init():\n    pass\n\ndef run(data):\n    time.sleep(3600)\n")
    with pytest.raises(InferenceServerException) as raised:
        client.infer("m", [given(tritonclient.grpc, "x", numpy.array([1]))], client_timeout=0.3)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_a_large_tensor_passes(connect):
    client, _ = connect(tritonclient.grpc, ECHO)
    values = numpy.arange(8 * 1024 * 1024, dtype="float32")
    answer = client.infer("m", [given(tritonclient.grpc, "x", values)])
    assert numpy.array_equal(answer.as_numpy("x"), values)


@CLIENTS
def test_many_callers_get_their_own_answers_from_workers(connect, api):
    client, server = connect(api, ECHO, WORKER_COUNT="2")
    wrong = []

    def call(number):
        own = api.InferenceServerClient(client._parsed_url.netloc) if api is tritonclient.http else client
        for round in range(50):
            value = numpy.array([number * 1000 + round])
            found = own.infer("m", [given(api, "x", value)]).as_numpy("x")
            if not numpy.array_equal(found, value):
                wrong.append((value, found))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_that_run_when_the_server_ends_are_answered(connect, tmp_path):
    script = f"""
import os
import time

def init():
    pass

def run(data):
    open({str(tmp_path / "began")!r}, "w").close()
    while not os.path.exists({str(tmp_path / "go")!r}):
        time.sleep(0.01)
    return [1]
"""
    client, server = connect(tritonclient.grpc, script)
    answers = []
    call = threading.Thread(target=lambda: answers.append(client.infer("m", [given(tritonclient.grpc, "x", numpy.array([1]))])))
    call.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    server.process.terminate()
    slot = {"x-azureml-limit": "1", "x-azureml-deadline-ms": "20"}
    while server.request("GET", "/.azureml/slot", headers=slot).headers["x-azureml-refused"] != "draining":
        pass
    (tmp_path / "go").touch()
    call.join()
    assert answers[0].as_numpy("output-0").tolist() == [1]
    assert server.process.wait(60) == 0


@CLIENTS
def test_the_hop_secret_is_asked_for_in_either_form(connect, api, tmp_path):
    (tmp_path / "secret").write_text("hop-secret")
    client, _ = connect(api, ECHO, AZUREML_HOP_SECRET_FILE=str(tmp_path / "secret"))
    assert client.is_server_live() and client.is_server_ready()
    hop = {"x-azureml-hop": "hop-secret"}
    values = numpy.arange(3, dtype="int64")
    asked = (
        lambda **headers: client.infer("m", [given(api, "x", values)], **headers).as_numpy("x"),
        lambda **headers: client.get_server_metadata(**headers),
        lambda **headers: client.get_model_metadata("m", **headers),
    )
    for ask in asked:
        for headers in ({}, {"headers": {"x-azureml-hop": "forged"}}):
            with pytest.raises(InferenceServerException, match="Only the router"):
                ask(**headers)
        ask(headers=hop)
    assert client.is_model_ready("m", headers=hop)
