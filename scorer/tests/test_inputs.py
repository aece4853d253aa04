"""What run() gets of a request, by the convention that the script chose."""

import json

import pytest

ECHO = "def init():\n    pass\n\ndef run(raw_data):\n    return raw_data\n"
JSON = {"content-type": "application/json"}
STRICT = {"AZUREML_COMPAT": "strict"}

SCHEMA = """from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema

def init():
    pass

@input_schema("count", StandardPythonParameterType(1))
@input_schema("options", StandardPythonParameterType({"deep": StandardPythonParameterType([StandardPythonParameterType(1.5)])}))
def run(options, count, color="red"):
    if count == 13:
        raise ValueError("unlucky")
    return {"options": options, "count": count, "color": color}
"""
GOOD = {"options": {"deep": [1.5]}, "count": 2}


def value(answer):
    status, _, text = answer
    assert status == 200, text
    return json.loads(text)


def message(answer):
    return json.loads(answer[2])["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", [None, "", "application/json", "text/plain", "application/octet-stream"])
def test_the_content_type_does_not_matter_to_a_script_without_decorators(start, method, kind):
    headers = {} if kind is None else {"content-type": kind}
    body = '{"data": "some plain text"}' if method == "POST" else None
    path = "/score?data=some+plain+text" if method == "GET" else "/score"
    assert value(start(ECHO).request(method, path, body=body, headers=headers)) == '{"data": "some plain text"}'


def test_values_of_the_query_are_json_where_they_can_be(start):
    server = start(ECHO)
    query = "a=1&b=x&c=1.2&d=%5B1,2%5D&e=null&f=%7B%22X%22:%22Y%22%7D&g=1&g=y&h=&b%20c=%C3%A9"
    expected = {"a": 1, "b": "x", "c": 1.2, "d": [1, 2], "e": None, "f": {"X": "Y"}, "g": [1, "y"], "h": "", "b c": "é"}
    assert json.loads(value(server.request("GET", f"/score?{query}"))) == expected
    assert value(server.request("GET")) == "{}"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_the_text_of_a_form_reaches_the_script_and_is_lost_when_strict(start, kind):
    assert value(start(ECHO).request(body="a=1&b=2", headers={"content-type": kind})) == "a=1&b=2"
    assert value(start(ECHO, **STRICT).request(body="a=1&b=2", headers={"content-type": kind})) == ""


def test_an_empty_body_is_an_empty_text(start):
    assert value(start(ECHO).request(body="")) == ""


@pytest.mark.parametrize("environment", [{}, STRICT])
def test_a_body_that_is_not_text_is_a_400_that_names_the_byte(start, environment):
    answer = start(ECHO, **environment).request(body=b"a\xff")
    assert answer[0] == 400
    assert message(answer) == "Input cannot be decoded as UTF-8: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"


def test_a_parameter_with_a_default_may_follow_the_data(start):
    assert value(start("def init():\n    pass\n\ndef run(data, color='red'):\n    return [data, color]\n").request(body="x")) == ["x", "red"]


def test_a_parameter_that_only_has_a_name_gets_the_data(start):
    assert value(start("def init():\n    pass\n\ndef run(*, data):\n    return data\n").request(body="x")) == "x"


@pytest.mark.parametrize("environment", [{}, STRICT])
def test_headers_of_the_request_come_in_title_case_and_repeated_ones_joined(start, environment):
    server = start("def init():\n    pass\n\ndef run(request_headers, data):\n    return [data, request_headers]\n", **environment)
    connection = server.connect()
    connection.putrequest("POST", "/score")
    for name, text in (("x-many", "1"), ("X-MANY", "2"), ("content-type", "text/plain"), ("content-length", "1")):
        connection.putheader(name, text)
    connection.endheaders(b"d")
    data, headers = json.loads(connection.getresponse().read())
    connection.close()
    assert (data, headers["X-Many"], headers["Content-Type"], headers["Content-Length"]) == ("d", "1,2", "text/plain", "1")


def test_the_run_of_a_driver_module_is_called_and_the_outer_init_kept(start, tmp_path):
    (tmp_path / "inner_of_the_driver.py").write_text("STATE = []\n\ndef run(data):\n    return [data, STATE]\n")
    server = start(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport inner_of_the_driver as driver_module\n\n"
        "def init():\n    driver_module.STATE.append('outer')\n\ndef run(*anything):\n    raise RuntimeError('not this one')\n"
    )
    assert value(server.request(body="x")) == ["x", ["outer"]]


def test_fields_of_the_body_become_parameters_by_the_schema(start):
    server = start(SCHEMA)
    assert value(server.request(body=json.dumps(GOOD), headers=JSON)) == {**GOOD, "color": "red"}
    given = {**GOOD, "color": "blue", "extra": True}
    assert value(server.request(body=json.dumps(given), headers={"content-type": "application/vnd.x+json; charset=utf-8"})) == {**GOOD, "color": "blue"}
    query = "/score?count=2&options=%7B%22deep%22:[1.5]%7D"
    assert value(server.request("GET", query)) == {**GOOD, "color": "red"}
    assert server.request("OPTIONS")[::2] == (200, "")


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        ("{}", {"content-type": "text/plain"}, 415, "Expects Content-Type to be application/json"),
        ("{}", {}, 415, "Expects Content-Type to be application/json"),
        ("", JSON, 400, "POST body is empty. Expecting a JSON dictionary."),
        ("[1]", JSON, 400, "POST body should be a JSON dictionary."),
        ('{"count": 1}', JSON, 400, "A value is not provided for the 'options' parameter."),
    ],
)
def test_a_body_that_has_no_parameters_is_refused_with_a_message_of_its_own(start, body, headers, status, text):
    answer = start(SCHEMA).request(body=body, headers=headers)
    assert (answer[0], message(answer), answer[1]["x-ms-run-function-failed"]) == (status, text, "False")
    assert "x-ms-run-fn-exec-ms" not in answer[1]


@pytest.mark.parametrize(("body", "text"), [("{", "line 1 column 2"), ("[" * 100_000, "")])
def test_a_body_that_is_no_json_is_a_400_that_says_where(start, body, text):
    answer = start(SCHEMA).request(body=body, headers=JSON)
    assert answer[0] == 400
    assert message(answer).startswith("POST body could not be decoded as JSON: ") and text in message(answer)


@pytest.mark.parametrize(
    ("given", "path"),
    [({**GOOD, "count": "x"}, "count"), ({**GOOD, "options": {"deep": [1.5, "x"]}}, "options.deep[1]"), ({**GOOD, "options": 1}, "options")],
)
def test_a_value_that_does_not_fit_the_schema_is_a_400_with_its_path_and_a_500_when_strict(start, given, path):
    answer = start(SCHEMA).request(body=json.dumps(given), headers=JSON)
    assert (answer[0], answer[1]["x-ms-run-function-failed"]) == (400, "False")
    assert f"the schema of run(): {path}: " in message(answer)
    answer = start(SCHEMA, **STRICT).request(body=json.dumps(given), headers=JSON)
    assert (answer[0], answer[1]["x-ms-run-function-failed"]) == (500, "True")
    assert "unexpected error occurred in scoring script" in message(answer)


def test_an_error_of_the_script_itself_is_no_violation_of_its_schema(start):
    server = start(SCHEMA)
    answer = server.request(body=json.dumps({**GOOD, "count": 13}), headers=JSON)
    assert (answer[0], answer[1]["x-ms-run-function-failed"]) == (500, "True")
    assert "unlucky" in server.log() and "unlucky" not in message(answer)


def test_a_script_may_not_be_raw_and_have_a_schema(start):
    script = "from azureml.contrib.services.aml_request import rawhttp\n" + SCHEMA.replace("@input_schema", "@rawhttp\n@input_schema", 1)
    server = start(script, ready=False)
    assert "both @rawhttp and @input_schema" in server.event()["message"]
    assert server.process.wait(60) == 3
