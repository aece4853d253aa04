"""With AZUREML_COMPAT=strict, clients see of ours what they see of the original server: answers compared one by one."""

import json

import pytest

STRICT = {"AZUREML_COMPAT": "strict"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
INIT = "def init():\n    pass\n\n"
RAW = f"from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp\nfrom azureml.contrib.services.aml_response import AMLResponse\n\n{INIT}@rawhttp\ndef run(request):\n"
BOUNDARY = {"content-type": "multipart/form-data; boundary=xx"}
UPLOAD = (
    b'--xx\r\nContent-Disposition: form-data; name="note"\r\n\r\nh\xc3\xa9\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="image"; filename="a b.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\r\n\xff\r\n--xx--\r\n'
)


def test_a_script_without_decorators_gets_and_gives_the_same(pair):
    both = pair(f"{INIT}def run(data, color='red'):\n    return [data, color]\n", **STRICT)
    for headers in ({}, JSON, FORM, BOUNDARY, {"content-type": ""}, {"content-type": "text/plain; charset=latin-1"}):
        for body in ("", '{"a": 1}', "é", b"\xff"):
            both.same(body=body, headers=headers)
    both.same(body="x" * 1_000_000)
    query = "/score?a=1&b=x&c=1.2&d=%5B1,2%5D&e=null&g=1&g=y&h=&b%20c=%C3%A9&i=%FF"
    both.same("GET", query)
    both.same("GET", "/score")
    both.same("OPTIONS")


RESULTS = (
    ["{'a': [1, 2.5, None, True]}", "(1, 2)", "None", "'é'", "''", "float('nan')", "{1, 2}", "b'x'", "{'a': b'x'}", "object()", "[float('inf')]"]
    + ["np.float32(1)", "np.float64(1.5)", "np.int64(1)", "np.arange(3)", "pd.DataFrame({'a': [1]})", "datetime.date(2024, 1, 1)", "{(1, 2): 3}"]
    + ["AMLResponse('text', 200)", "AMLResponse(b'\\xff', 201)", "AMLResponse(None, 333)", "AMLResponse('t', 444)", "AMLResponse('t', 555, json_str=True)"]
    + ["AMLResponse({'a': 1}, 400, json_str=True)", "AMLResponse('', 200, run_function_failed=True)", "AMLResponse('x', 500)"]
    + ["AMLResponse('x', 200, {'Content-Type': 'image/png', 'a': 'A, B'})", "AMLResponse(['a', 'b'], 200)", "1 / 0", "AMLResponse((c for c in 'abc'), 200)"]
    + ["flask.Response('x', status=418, mimetype='text/plain')", "flask.Response((c for c in 'abc'), mimetype='text/event-stream')"]
    + ["flask.jsonify(a=1)", "flask.make_response('x', 202)", "flask.abort(404)", "flask.redirect('/elsewhere')"]
    + ["werkzeug.Response('w', 203, {'X-A': 'b'})"]
)


# What the original's own errors lack, and what it does not add to Flask's responses.
ADDED = ("timed", "x-ms-run-function-failed")


def test_results_are_the_same(pair):
    script = (
        "import datetime\n\nimport flask\nimport numpy as np\nimport pandas as pd\nimport werkzeug\n"
        f"from azureml_inference_server_http.api.aml_response import AMLResponse\n\n{INIT}def run(data):\n    return eval(data)\n"
    )
    both = pair(script, beside=True, **STRICT)
    for expression in RESULTS:
        theirs, *ours = (server.request(body=expression).seen() for server in (both.original, *both.ours))
        for name in ADDED:
            if not theirs[name]:
                for answer in (theirs, *ours):
                    del answer[name]
        assert all(answer == theirs for answer in ours), expression


RAW_LINES = (
    ["return [request.method, request.path, request.full_path, request.url, request.query_string.decode(), request.host]"]
    + ["return [request.args, request.args.getlist('a'), request.values.to_dict(flat=False), request.is_json, request.mimetype]"]
    + ["return [request.headers['x-request-id'], request.headers.get('X-NONE', 'd'), 'Content-Type' in request.headers, request.cookies.to_dict()]"]
    + ["return [request.get_data(as_text=True), request.data.decode('latin-1'), request.form.to_dict(flat=False), sorted(request.files)]"]
    + ["return request.get_json(force=True, silent=True)", "return request.json", "return AMLResponse(request.get_data(), 200)", "return request.form['none']"]
    + ["f = request.files['image']; return [f.filename, f.name, f.mimetype, f.read().decode('latin-1'), request.form['note']]"]
    + ["return isinstance(request.remote_addr, str)", "return request.content_length"]
)


@pytest.mark.parametrize("imported", ["", "import flask\n", "import werkzeug.wrappers\n"])
def test_raw_requests_are_the_same_with_our_request_and_with_flasks(pair, imported):
    lines = "".join(f"    if which == {number}:\n        {line}\n" for number, line in enumerate(RAW_LINES))
    both = pair(f"{imported}{RAW}    which = int(request.headers['which'])\n{lines}", beside=True, **STRICT)
    host = {"host": "scorer:1"}
    for number in range(len(RAW_LINES)):
        which = {**host, "which": str(number), "cookie": "a=1; b=2"}
        both.same("GET", "/score?a=1&a=2&b=", headers=which)
        both.same(body='{"a": [1]}', headers={**which, **JSON})
        both.same(body="{", headers={**which, **JSON})
        both.same(body="a=1&a=%C3%A9&b=", headers={**which, **FORM}, path="/score?a=0")
        both.same(body=UPLOAD, headers={**which, **BOUNDARY})
        both.same("OPTIONS", headers=which)


def test_ids_and_unknown_routes_are_the_same(pair):
    both = pair(f"{INIT}def run(data):\n    if data == 'error':\n        raise ValueError\n    return 1\n", **STRICT)
    for ids in ({}, {"x-ms-request-id": "B"}, {"x-ms-client-request-id": "C"}, {"x-ms-request-id": "B", "x-ms-client-request-id": "C"}, {"TraceId": "T"}):
        for body in ("x", "error"):
            both.same(body=body, headers=ids)
    for name in ("x-request-id", "x-ms-request-id", "x-ms-client-request-id"):
        both.same(body="x", headers={name: "A" * 100})
        both.same(body="x", headers={name: "A" * 101})
    for method, path in (("GET", "/nothing"), ("POST", "/"), ("DELETE", "/"), ("PUT", "/score"), ("POST", "/swagger.json"), ("GET", "/score/"), ("GET", "/swagger.json?version=3.0a")):
        both.same(method, path)


CORS = ("access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")


@pytest.mark.parametrize("origins", ["www.microsoft.com, www.bing.com", "https://a.b"])
def test_browsers_of_other_origins_are_answered_the_same(pair, origins):
    both = pair(f"{INIT}def run(data):\n    return 1\n", AML_CORS_ORIGINS=origins, **STRICT)
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    for origin in ("www.microsoft.com", "WWW.BING.COM", "www.azure.com", "https://a.b"):
        for method, more in (("POST", {}), ("OPTIONS", {}), ("OPTIONS", preflight)):
            answers = [server.request(method, headers={"origin": origin, **more}) for server in (both.original, *both.ours)]
            assert len({json.dumps([answer.status, *(answer.headers.get(name) for name in CORS)]) for answer in answers}) == 1
