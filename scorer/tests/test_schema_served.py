"""A script with schema decorators as it is served: parameters, refusals, Swagger documents."""

import json

SCORED = """
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init():
    pass

@input_schema("people", StandardPythonParameterType([StandardPythonParameterType({"age": StandardPythonParameterType(1)})]))
@input_schema("factor", StandardPythonParameterType(1.5), optional=True)
@output_schema(StandardPythonParameterType([1.5]))
def run(people, factor=2.0):
    return [person["age"] * factor for person in people]
"""
JSON = {"content-type": "application/json"}


def test_the_fields_of_a_request_become_the_parameters(start):
    server = start(SCORED)
    assert server.request(body='{"people": [{"age": 3}]}', headers=JSON)[::2] == (200, "[6.0]")
    assert server.request(body='{"people": [{"age": 3}], "factor": 3, "more": 1}', headers=JSON)[::2] == (200, "[9]")


def test_a_request_that_does_not_fit_gets_the_path_of_the_field(start):
    status, headers, text = start(SCORED).request(body='{"people": [{"age": 3}, {"age": "old"}]}', headers=JSON)
    assert status == 400 and headers["x-ms-run-function-failed"] == "False"
    assert "people[1].age: expected an integer, got a string" in json.loads(text)["message"]


def test_a_request_that_does_not_fit_is_an_error_of_the_script_in_strict_mode(start):
    status, headers, _ = start(SCORED, AZUREML_COMPAT="strict").request(body='{"people": 5}', headers=JSON)
    assert status == 500 and headers["x-ms-run-function-failed"] == "True"


def test_workers_of_a_pool_have_the_schema_too(start):
    server = start(SCORED, WORKER_COUNT="2")
    assert server.request(body='{"people": [{"age": 3}]}', headers=JSON)[::2] == (200, "[6.0]")
    assert server.request(body='{"people": [{"age": ""}]}', headers=JSON)[0] == 400
    assert '"people"' in server.request("GET", "/swagger.json")[2]


def test_the_schema_is_in_the_swagger_document(start):
    document = json.loads(start(SCORED).request("GET", "/swagger.json?version=3.1")[2])
    schemas = document["components"]["schemas"]
    assert schemas["ServiceInput"]["example"] == {"people": [{"age": 1}], "factor": 1.5}
    assert schemas["ServiceOutput"] == {
        "type": "array",
        "items": {"type": "number", "format": "double"},
        "example": [1.5],
    }


def test_a_version_that_cannot_express_the_schema_is_refused(start):
    script = SCORED.replace("Type([1.5])", "Type([1, 'a'])")
    status, _, text = start(script).request("GET", "/swagger.json")
    assert status == 404
    refusal = "Swagger version [2] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."
    assert json.loads(text)["message"] == refusal


def test_a_file_of_the_user_is_served_as_it_stands(start):
    script = "def init():\n    open('swagger3.json', 'w').write('{\"mine\":  1.0e1}')\n\ndef run(data):\n    return 1\n"
    server = start(script)
    assert server.request("GET", "/swagger.json?version=3")[2] == '{"mine":  1.0e1}'
    assert json.loads(server.request("GET", "/swagger.json?version=3.1")[2])["openapi"] == "3.1.0"


def test_a_file_of_the_user_that_is_not_json_fails_the_start(start):
    server = start(
        "def init():\n    open('swagger.json', 'w').write('{')\n\ndef run(data):\n    return 1\n", ready=False
    )
    failure = server.event()
    assert failure["event"] == "failed" and "swagger.json: the Swagger document is not JSON" in failure["message"]
    assert server.process.wait(60) == 3


def test_an_async_run_gets_its_parameters_converted(start):
    server = start(SCORED.replace("def run", "async def run"))
    assert server.request(body='{"people": [{"age": 3}]}', headers=JSON)[::2] == (200, "[6.0]")
    assert "people[0].age" in server.request(body='{"people": [{"age": ""}]}', headers=JSON)[2]
