"""Schema decorators on functions: what is converted, what is declared. The types are compared with the installed
``inference_schema`` in ``packages``."""

import asyncio
import datetime
import functools
import inspect
import json
import subprocess
import sys

import pytest
from azureml_scorer import schema
from azureml_scorer.schema import schema_util
from azureml_scorer.schema.errors import SchemaViolation
from azureml_scorer.schema.parameter_types import _times
from azureml_scorer.schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
from azureml_scorer.schema.schema_decorators import input_schema, output_schema

BYTES = Standard(b"sample")


def test_arguments_are_converted_by_name_and_by_position():
    @input_schema("second", BYTES)
    def run(first, second):
        return first, second

    assert run(1, "eHl6") == run(1, second="eHl6") == run(first=1, second="eHl6") == (1, b"xyz")


def test_a_parameter_that_only_has_a_name_is_converted():
    @input_schema("data", BYTES)
    def run(*, data):
        return data

    assert run(data="eHl6") == b"xyz"


def test_methods_are_converted_like_functions():
    class Model:
        @input_schema("data", BYTES)
        def run(self, data):
            return data

    assert Model().run("eHl6") == Model().run(data="eHl6") == b"xyz"


def test_a_coroutine_function_stays_one():
    @input_schema("data", BYTES)
    async def run(data):
        return data

    assert inspect.iscoroutinefunction(run)
    assert asyncio.run(run(data="eHl6")) == b"xyz"


def test_a_default_is_used_when_the_argument_is_absent():
    @input_schema("data", BYTES)
    def run(data=b"default"):
        return data

    assert run() == b"default"


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_an_optional_argument_may_be_empty(empty):
    @input_schema("data", BYTES, optional=True)
    def run(data=None):
        return data

    assert run(data=empty) == empty and run() is None and run(data="eHl6") == b"xyz"


def test_nothing_is_converted_without_convert_to_provided_type():
    @input_schema("data", BYTES, convert_to_provided_type=False)
    def run(data):
        return data

    assert run(data="eHl6") == "eHl6"
    assert schema_util.get_input_schema(run)["properties"]["data"]["format"] == "byte"


def test_the_signature_shines_through_the_decorators():
    @input_schema("data", BYTES)
    @output_schema(BYTES)
    def run(data, request_headers, limit=3):
        return data

    assert list(inspect.signature(run).parameters) == ["data", "request_headers", "limit"]


def test_parameters_without_a_schema_are_declared_empty():
    @input_schema("data", Standard(1))
    def run(data, other):
        return data

    declared = schema_util.get_input_schema(run)
    assert declared["properties"] == {"data": {"type": "integer", "format": "int64"}, "other": {}}
    assert declared["example"] == {"data": 1, "other": ""}


def test_a_decorated_function_is_known_through_other_decorators():
    def plain(function):
        return lambda *args, **kwargs: function(*args, **kwargs)

    def careful(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function(*args, **kwargs)

        return inner

    @plain
    @careful
    @input_schema("data", BYTES)
    @careful
    @output_schema(Standard(1.5))
    def run_wrapped(data):
        return data

    assert schema.known_to(run_wrapped) is schema_util
    assert schema_util.get_output_schema(run_wrapped)["format"] == "double"
    assert run_wrapped(data="eHl6") == b"xyz"


def test_a_function_without_a_schema_is_not_decorated_and_fits_all_versions():
    def bare(data):
        return data

    assert schema.known_to(bare) is None
    assert schema_util.get_supported_versions(bare) == ["2.0", "3.0", "3.1"]
    assert schema_util.get_input_schema(bare) == {"type": "object"}


def test_a_function_that_is_defined_again_is_declared_anew():
    def define(sample):
        @output_schema(Standard(sample))
        def run_again(data):
            return data

        return run_again

    define(1)
    assert schema_util.get_output_schema(define("text"))["type"] == "string"


def test_arrays_of_several_types_cannot_be_said_in_version_2():
    @input_schema("data", Standard([1, "a"]))
    @output_schema(Standard(1))
    def run_mixed(data):
        return data

    assert schema_util.get_supported_versions(run_mixed) == ["3.0", "3.1"]


def test_a_violation_tells_the_path_and_the_reason():
    @input_schema("data", Standard({"people": Standard([Standard({"home town": Standard(1.5)})])}))
    def run(data):
        return data

    with pytest.raises(SchemaViolation) as raised:
        run(data={"people": [{"home town": 1.0}, {"home town": "far"}]})
    assert raised.value.path == 'data.people[1]["home town"]'
    assert str(raised.value) == 'data.people[1]["home town"]: expected a number, got a string'


def test_an_error_of_the_function_itself_is_no_violation():
    @input_schema("data", Standard(1))
    def run(data):
        raise ValueError("of the script")

    with pytest.raises(ValueError, match="of the script") as raised:
        run(data=1)
    assert not isinstance(raised.value, SchemaViolation)


@pytest.mark.parametrize(
    ("decorate", "says"),
    [
        (lambda run: input_schema("other", Standard(1))(run), "has no parameter of that name; it has data"),
        (lambda run: input_schema("data", 5), "expected a parameter type"),
        (lambda run: output_schema(output_type="x"), "expected a parameter type"),
        (lambda run: output_schema(Standard(1))(output_schema(Standard(1))(run)), "has one already"),
        (lambda run: Standard({"a": {1}}).input_to_swagger(), "what JSON can express"),
    ],
)
def test_a_wrong_declaration_fails_where_it_stands(decorate, says):
    def run(data):
        return data

    with pytest.raises(TypeError, match=says):
        decorate(run)


def test_a_date_is_converted():
    @input_schema("day", Standard(datetime.date(2024, 1, 31)))
    def run(day):
        return day

    assert run(day="2024-02-29") == datetime.date(2024, 2, 29)


NAMES = """
import sys
from azureml_scorer import imports, schema
imports.install()
import inference_schema.schema_decorators, inference_schema.schema_util
from inference_schema.parameter_types import standard_py_parameter_type
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType

@inference_schema.schema_decorators.input_schema("data", standard_py_parameter_type.StandardPythonParameterType(1))
def run(data):
    pass

assert issubclass(standard_py_parameter_type.StandardPythonParameterType, AbstractParameterType)
assert inference_schema.schema_util.is_schema_decorated(run) and schema.known_to(run)
ours = {name: "azureml_scorer.schema" + name[len("inference_schema") :] for name in sys.modules if name.startswith("inference_schema.")}
del ours["inference_schema.parameter_types"]  # a package
doubles = [name for name, other in ours.items() if sys.modules[name] is not sys.modules[other]]
assert doubles == [], doubles
"""


def test_a_module_is_the_same_under_both_of_its_names():
    subprocess.run([sys.executable, "-c", NAMES], check=True)


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


UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29T10:11:12Z", datetime.datetime(2024, 2, 29, 10, 11, 12, tzinfo=UTC)),
        ("2024-02-29 10:11:12.500000 +0000", datetime.datetime(2024, 2, 29, 10, 11, 12, 500000, tzinfo=UTC)),
        ("2024-02-29T10:11:12,5+00:00", datetime.datetime(2024, 2, 29, 10, 11, 12, 500000, tzinfo=UTC)),
        ("2024-02-29T10:11:12.123456789", datetime.datetime(2024, 2, 29, 10, 11, 12, 123456)),
        ("2024-02-29T12:11+02", datetime.datetime(2024, 2, 29, 10, 11, tzinfo=UTC)),
        ("2024-02-29", datetime.datetime(2024, 2, 29)),
        ("Thu, 29 Feb 2024 10:11:12 +0000", datetime.datetime(2024, 2, 29, 10, 11, 12, tzinfo=UTC)),
    ],
)
def test_dates_and_times_are_read_without_dateutil(monkeypatch, text, moment):
    monkeypatch.setattr(_times, "_parse", None)
    assert _times.read_datetime(text) == moment
    if text[10:11] == "T":
        assert _times.read_time(text[11:]) == moment.timetz()


@pytest.mark.parametrize("text", ["soon", "", "2024-13-01", 5, None])
def test_what_is_no_date_is_a_violation(monkeypatch, text):
    monkeypatch.setattr(_times, "_parse", None)
    with pytest.raises(SchemaViolation):
        _times.read_datetime(text)
    with pytest.raises(SchemaViolation):
        _times.read_date(text)
