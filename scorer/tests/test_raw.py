"""Raw requests: the interface that scripts know from Flask, without Flask."""

import gzip
import json

import pytest

RAW = "from azureml.contrib.services.aml_request import AMLRequest, rawhttp\n\ndef init():\n    pass\n\n@rawhttp\ndef run(request):\n"
BOUNDARY = "----xyz"


def raw(start, *lines, **environment):
    return start(RAW + "".join(f"    {line}\n" for line in lines), **environment)


def form(*parts):
    """A multipart body of (head, content) pairs."""
    return b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), head.encode(), content) for head, content in parts) + f"--{BOUNDARY}--\r\n".encode()


MULTIPART = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request"])
def test_a_raw_script_gets_every_method_itself(start, method, path):
    server = start(RAW.replace("azureml.contrib.services.aml_request", path) + "    return [request.method, isinstance(request, AMLRequest)]\n")
    status, headers, text = server.request(method)
    assert (status, json.loads(text), headers["content-type"]) == (200, [method, True], "application/json")


def test_a_head_request_reaches_a_raw_script(start):
    assert raw(start, "return request.method").request("HEAD")[::2] == (200, "")


def test_the_address_of_a_raw_request(start):
    names = ("path", "full_path", "url", "base_url", "host", "host_url", "url_root", "scheme", "script_root")
    server = raw(start, f"return [getattr(request, name) for name in {names!r}] + [request.query_string.decode(), request.args.to_dict(flat=False)]")
    _, _, text = server.request("GET", "/score?a=1&a=2&b=", headers={"host": "h:1"})
    assert json.loads(text) == ["/score", "/score?a=1&a=2&b=", "http://h:1/score?a=1&a=2&b=", "http://h:1/score", "h:1", "http://h:1/", "http://h:1/", "http", "", "a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}]


def test_the_full_path_ends_in_a_question_mark_even_without_a_query(start):
    server = raw(start, "return [request.full_path, request.url[-6:]]")
    assert json.loads(server.request()[2]) == ["/score?", "/score"]


def test_headers_of_a_raw_request_are_found_in_any_case(start):
    server = raw(start, "h = request.headers", "return [h['x-who'], h.get('X-WHO'), h.get('none', 7), 'X-Who' in h, dict(h)['X-Who'], request.content_type, request.mimetype, request.cookies.get('b'), request.user_agent]")
    headers = {"x-who": "me", "content-type": "text/plain; charset=utf-8", "cookie": 'a=1; b="2"', "user-agent": "test"}
    assert json.loads(server.request(body="x", headers=headers)[2]) == ["me", "me", 7, True, "me", "text/plain; charset=utf-8", "text/plain", "2", "test"]


def test_the_body_of_a_raw_request_in_all_its_forms(start):
    server = raw(start, "return [request.data.decode(), request.get_data(as_text=True), request.json, request.get_json(), request.is_json, request.stream.read().decode(), request.content_length]")
    answer = json.loads(server.request(body="[1]", headers={"content-type": "application/json"})[2])
    assert answer == ["[1]", "[1]", [1], [1], True, "[1]", 3]


def test_a_body_of_bytes_arrives_as_it_is(start):
    server = raw(start, "return [len(request.get_data()), request.data == bytes(range(256)) * 1000]")
    assert json.loads(server.request(body=bytes(range(256)) * 1000)[2]) == [256_000, True]


def test_json_that_cannot_be_read_fails_unless_silent(start):
    server = raw(start, "return [request.get_json(force=True, silent=True), request.get_json(silent=True)]")
    assert json.loads(server.request(body="{")[2]) == [None, None]
    status, headers, text = raw(start, "return request.json").request(body="{", headers={"content-type": "application/json"})
    assert (status, headers["x-ms-run-function-failed"]) == (500, "True")
    assert json.loads(text)["message"] == "An unexpected error occurred in scoring script. Check the logs for more info."


def test_fields_of_a_form_are_parsed(start):
    server = raw(start, "return [request.form.to_dict(flat=False), request.form['a'], request.form.get('n', 0, int), request.values.getlist('a'), request.data.decode(), request.get_data(as_text=True), request.data.decode()]")
    answer = json.loads(server.request(body="a=1&a=%C3%A9&n=7", headers=URLENCODED, path="/score?a=0")[2])
    assert answer == [{"a": ["1", "é"], "n": ["7"]}, "1", 7, ["0", "1", "é"], "", "a=1&a=%C3%A9&n=7", "a=1&a=%C3%A9&n=7"]


def test_files_of_a_form_are_parsed(start, tmp_path):
    server = raw(
        start,
        "f = request.files['image']",
        f"f.save({str(tmp_path / 'saved')!r})",
        "g = request.files.get('second')",
        "return [f.filename, f.content_type, request.form['note'], g.filename, g.read().decode(), g.stream.read().decode(), bool(request.files.get('none'))]",
    )
    body = form(
        ('Content-Disposition: form-data; name="note"', "hé".encode()),
        ('content-disposition: form-data; name="image"; filename="a \\"b\\".png"\r\nContent-Type: image/png', b"\x89PNG\r\n\r\n--\xff"),
        ("Content-Disposition: form-data; name=second; filename*=UTF-8''%C3%A9.txt", b"text"),
    )
    answer = json.loads(server.request(body=body, headers=MULTIPART)[2])
    assert answer == ['a "b".png', "image/png", "hé", "é.txt", "text", "", False]
    assert (tmp_path / "saved").read_bytes() == b"\x89PNG\r\n\r\n--\xff"


def test_a_field_that_is_missing_is_a_failure_that_the_log_names(start):
    server = raw(start, "return request.files['x'].filename")
    assert server.request(body=form(), headers=MULTIPART)[0] == 500
    assert "the request has no field 'x'" in server.log()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        f"--{BOUNDARY}\r\n".encode(),
        form(('Content-Disposition: form-data; name="a"', b"1"))[:-8],
        form(("Content-Disposition: form-data", b"1")),
        form(("no colon", b"1")),
        form(("X: " + "x" * 10_000, b"1")),
        form(*[('Content-Disposition: form-data; name="a"', b"")] * 1001),
    ],
)
def test_a_form_that_is_not_well_formed_is_a_failure_and_never_guessed(start, body):
    server = raw(start, "return request.form.to_dict()")
    assert server.request(body=body, headers=MULTIPART)[0] == 500
    assert "FormError" in server.log()


def test_a_form_with_too_many_fields_is_refused(start):
    server = raw(start, "return len(request.form)")
    assert server.request(body="&".join(["a=1"] * 1001), headers=URLENCODED)[0] == 500


def test_a_raw_script_may_ask_for_headers_and_have_defaults(start):
    server = start(RAW.replace("run(request)", "run(request, request_headers, color='red')") + "    return [request.method, request_headers['X-A'], color]\n")
    assert json.loads(server.request(headers={"x-a": "1"})[2]) == ["POST", "1", "red"]


def test_an_attribute_that_only_werkzeug_has_says_so(start):
    server = raw(start, "return request.accept_languages.best")
    assert server.request()[0] == 500
    assert "with werkzeug installed it has all of Flask's" in server.log()


@pytest.mark.parametrize(("environment", "coded"), [({}, False), ({"AZUREML_COMPAT": "strict"}, True)])
def test_a_script_that_decodes_marked_bodies_itself_gets_what_it_expects(start, environment, coded):
    server = raw(
        start,
        "import gzip",
        "marked = request.headers.get('Content-Encoding') == 'gzip'",
        "data = gzip.decompress(request.data) if marked else request.data",
        "return [data.decode(), marked, request.content_length == len(request.data)]",
        **environment,
    )
    answer = server.request(body=gzip.compress(b"hello" * 100), headers={"content-encoding": "gzip"})
    assert json.loads(answer[2]) == ["hello" * 100, coded, True]
