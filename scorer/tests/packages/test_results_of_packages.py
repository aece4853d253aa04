"""Results of numpy, pandas, Flask and Werkzeug, and raw requests beside Flask: the better way, by default."""

import json

import pytest

INIT = "def init():\n    pass\n\n"
IMPORTS = "import datetime\n\nimport numpy as np\nimport pandas as pd\n"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("np.arange(3)", [0, 1, 2]),
        ("np.eye(2)", [[1.0, 0.0], [0.0, 1.0]]),
        ("np.array(['a', 'b'])", ["a", "b"]),
        ("{'p': np.float32(0.5), 'n': np.int64(7), 'b': np.bool_(True), 's': np.str_('x'), 'd': np.float64(1.5)}", {"p": 0.5, "n": 7, "b": True, "s": "x", "d": 1.5}),
        ("{np.int64(1): np.float64(0.25)}", {"1": 0.25}),
        ("np.array(['2024-02-29', '2024-03-01'], dtype='datetime64[D]')", ["2024-02-29", "2024-03-01"]),
        ("np.datetime64('2024-02-29T01:02')", "2024-02-29T01:02"),
        ("pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ("pd.Series([1.5, 2.5])", [1.5, 2.5]),
        ("pd.Index(['a'])", ["a"]),
        ("pd.Timestamp('2024-02-29 01:02:03')", "2024-02-29T01:02:03"),
        ("[pd.DataFrame({'at': pd.to_datetime(['2024-02-29'])})]", [[{"at": "2024-02-29T00:00:00"}]]),
    ],
)
def test_values_of_numpy_and_pandas_are_sent_as_json(serve, expression, expected):
    answer = serve("ours", f"{IMPORTS}{INIT}def run(data):\n    return {expression}\n").request(body="x")
    assert (answer.status, json.loads(answer.body)) == (200, expected)


@pytest.mark.parametrize("expression", ["np.array([1.0, np.nan])", "[np.float32('inf')]", "pd.DataFrame({'a': [1.0, None]})", "pd.Series([1.0, None])", "[pd.NaT, pd.NA]"])
def test_missing_values_are_a_failure_or_null_by_the_setting(serve, expression):
    script = f"{IMPORTS}{INIT}def run(data):\n    return {expression}\n"
    assert serve("ours", script).request(body="x").status == 500
    answer = serve("ours", script, AZUREML_NAN="null").request(body="x")
    assert answer.status == 200 and b"null" in answer.body


@pytest.mark.parametrize("expression", ["np.array([1j])", "np.zeros(1, dtype=[('a', 'i4')])[0]", "np.array([object()])"])
def test_values_without_an_obvious_form_are_a_failure(serve, expression):
    assert serve("ours", f"{IMPORTS}{INIT}def run(data):\n    return {expression}\n").request(body="x").status == 500


@pytest.mark.parametrize("kind", ["ours", "beside"])
@pytest.mark.parametrize("place", ["at the top", "in run"])
def test_flask_has_its_context_wherever_it_is_imported(serve, kind, place):
    imported = "from flask import abort, g, jsonify, request"
    script = f"{imported if place == 'at the top' else ''}\n{INIT}def run(data):\n    {imported if place == 'in run' else 'pass'}\n    g.x = request.headers['x-a']\n    return jsonify(data=data, x=g.x, path=request.path)\n"
    answer = serve(kind, script).request(body="d", headers={"x-a": "1"})
    assert (answer.status, json.loads(answer.body)) == (200, {"data": "d", "x": "1", "path": "/score"})
    assert answer.headers["content-type"] == "application/json" and "x-ms-run-fn-exec-ms" in answer.headers


@pytest.mark.parametrize("package", ["azureml_inference_server_http.api", "azureml.contrib.services"])
def test_the_originals_own_classes_work_with_our_server(serve, package):
    script = (
        f"from {package}.aml_request import AMLRequest, rawhttp\nfrom {package}.aml_response import AMLResponse\n\n"
        f"{INIT}@rawhttp\ndef run(request):\n    return AMLResponse(request.method + request.args['a'], 201, {{'X-A': 'b'}})\n"
    )
    answer = serve("beside", script).request("GET", "/score?a=1")
    assert (answer.status, answer.body, answer.headers["x-a"]) == (201, b"GET1", "b")


def test_what_our_raw_request_lacks_comes_from_werkzeug(serve):
    script = f"from azureml.contrib.services.aml_request import rawhttp\n\n{INIT}@rawhttp\ndef run(request):\n    return [request.accept_languages.best, type(request).__name__]\n"
    answer = serve("ours", script).request(headers={"accept-language": "de;q=0.5, fr"})
    assert json.loads(answer.body) == ["fr", "AMLRequest"]


def test_a_response_of_flask_is_streamed_and_closed(serve):
    script = (
        f"import flask\n\nCLOSED = []\n\n{INIT}def run(data):\n    if data == 'closed':\n        return CLOSED\n"
        "    r = flask.Response((c for c in ('a', b'b')), 203, {'X-A': '1'})\n    r.call_on_close(lambda: CLOSED.append(1))\n    return r\n"
    )
    server = serve("ours", script)
    answer = server.request(body="x")
    assert (answer.status, answer.body, answer.headers["x-a"], answer.headers["transfer-encoding"]) == (203, b"ab", "1", "chunked")
    assert json.loads(server.request(body="closed").body) == [1]


@pytest.mark.parametrize("module", ["numpy", "pandas", "flask", "werkzeug"])
def test_no_package_is_imported_that_the_script_does_not_use(serve, module):
    script = f"import sys\n\n{INIT}def run(data):\n    return {module!r} in sys.modules\n".replace("flask", "fla' 'sk")
    assert json.loads(serve("ours", script).request(body="x").body) is False


def test_types_of_numpy_and_pandas_can_be_imported_without_the_original_package(serve):
    lines = "".join(f"from inference_schema.parameter_types.{name}_parameter_type import {name.title()}ParameterType\n" for name in ("numpy", "pandas"))
    assert serve("ours", f"{lines}{INIT}def run(data):\n    return NumpyParameterType.__module__\n").request(body="x").status == 200
