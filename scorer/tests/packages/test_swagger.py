"""Swagger documents of both servers from the same scripts: equal for every version, and so are the refusals."""

import json

import pytest

HEAD = """
import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init():
    pass
"""
PLAIN = "def init():\n    pass\n\ndef run(data):\n    return data\n"
SCRIPTS = {
    "plain": PLAIN,
    "numpy": HEAD
    + """
@input_schema("data", NumpyParameterType(np.array([[1.5, 2.5]])))
@output_schema(NumpyParameterType(np.array([1])))
def run(data):
    return data.sum(axis=1).astype(int).tolist()
""",
    "power bi": HEAD
    + """
frame = PandasParameterType(pd.DataFrame({"age": [31], "name": ["Ann"], "day": pd.to_datetime(["2024-01-31"])}))
inputs = StandardPythonParameterType({"input1": frame, "input2": frame})

@input_schema("Inputs", inputs)
@input_schema("GlobalParameters", StandardPythonParameterType({"method": "predict", "limit": 1.0}))
@output_schema(StandardPythonParameterType({"Results": StandardPythonParameterType([1])}))
def run(Inputs, GlobalParameters, request_headers):
    return {"Results": [len(Inputs["input1"])]}
""",
    "mixed arrays": HEAD
    + """
@input_schema("data", StandardPythonParameterType([1, "a"]))
def run(data):
    return data
""",
    "only the output": HEAD
    + """
@output_schema(StandardPythonParameterType({"x": [True]}))
def run(data):
    return data
""",
}
OWN = {
    "all of them": {
        "swagger.json": '{"swagger": "2.0", "mine": 1}',
        "swagger2.json": '{"mine": 2}',
        "swagger3.json": '{"mine": "\\u00fc"}',
        "swagger3.1.json": '{"mine": 3.1}',
    },
    "swagger2.json": {"swagger2.json": '"mine"'},
    "an empty one": {"swagger.json": "{}"},
}
VERSIONS = [
    "",
    "?version=2",
    "?version=2.0",
    "?version=3",
    "?version=3.0",
    "?version=3.1",
    "?version=4",
    "?version=",
    "?other=1",
]


def compare(pair):
    for version in VERSIONS:
        pair.same("GET", f"/swagger.json{version}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_documents_are_equal(pair, name):
    compare(pair(SCRIPTS[name], beside=True))


def test_name_version_and_prefix_of_the_service_are_in_the_document(pair):
    compare(
        pair(PLAIN, SERVICE_NAME="diabetes & co", SERVICE_VERSION="7", SERVICE_PATH_PREFIX="api/v1/service/diabetes/")
    )


@pytest.mark.parametrize("name", OWN)
def test_files_of_the_user_are_served_in_place_of_a_document(pair, name):
    compare(pair(SCRIPTS["mixed arrays"], OWN[name]))


def test_a_file_that_init_writes_is_served(pair):
    script = "def init():\n    open('swagger.json', 'w').write('{\"late\": true}')\n\ndef run(data):\n    return data\n"
    answer = pair(script).same("GET", "/swagger.json")
    assert json.loads(answer.body) == {"late": True}


def test_a_file_that_is_not_json_ends_the_server_and_is_named(serve):
    server = serve("ours", PLAIN, {"swagger3.json": '{"mine": '}, wait=False)
    assert server.process.wait(60) == 3
    assert "swagger3.json: the Swagger document is not JSON" in server.log()
