"""What ``run`` gets of a request: the body's text, fields by a schema, or the request itself."""

import json

# The core has undone a body's content coding; not in strict mode, where the script decides.
decoded = True
_CODINGS = ("gzip", "x-gzip", "deflate")

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class BadInput(Exception):
    """A request that ``run`` cannot be called for."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def _mimetype(request):
    return (request.header("content-type") or "").partition(";")[0].strip().lower()


def _query(request):
    """The query's values by name: values that are JSON are taken as such, repeated names become lists."""
    from azureml_scorer import forms

    values = {}
    try:
        pairs = forms.query_pairs(request.query, 10_000)
    except ValueError:
        raise BadInput(400, "The query has more than 10000 parameters.") from None
    for name, text in pairs:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


class Text:
    """The body as text, for a ``run`` without decorators."""

    def __init__(self, data, strict):
        self._name = data[0].name
        self._strict = strict

    def arguments(self, request):
        if request.method == "GET":
            return {self._name: json.dumps(_query(request))}
        # The original reads forms before the script does, and loses them.
        if self._strict and _mimetype(request) in _FORMS:
            return {self._name: ""}
        try:
            return {self._name: request.text}
        except UnicodeDecodeError as error:
            raise BadInput(400, f"Input cannot be decoded as UTF-8: {error}") from None


class Fields:
    """Fields of a JSON object as parameters, for a ``run`` with ``@input_schema``."""

    def __init__(self, data):
        self._parameters = data

    def arguments(self, request):
        given = _query(request) if request.method == "GET" else self._body(request)
        arguments = {}
        for name, _, required, default in self._parameters:
            if name in given:
                arguments[name] = given[name]
            elif required:
                raise BadInput(400, f"A value is not provided for the {name!r} parameter.")
            else:
                arguments[name] = default
        return arguments

    def _body(self, request):
        kind = _mimetype(request)
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise BadInput(415, "Expects Content-Type to be application/json")
        body = request.body
        if not body:
            raise BadInput(400, "POST body is empty. Expecting a JSON dictionary.")
        try:
            found = json.loads(body)
        except RecursionError:
            raise BadInput(400, "POST body could not be decoded as JSON: it is nested too deeply") from None
        except ValueError as error:
            raise BadInput(400, f"POST body could not be decoded as JSON: {error}") from None
        if not isinstance(found, dict):
            raise BadInput(400, "POST body should be a JSON dictionary.")
        return found


class Raw:
    """The request itself, for a ``run`` with ``@rawhttp``."""

    def __init__(self, data, make):
        self._name = data[0].name
        self._make = make

    def arguments(self, request):
        return {self._name: self._make(request)}


def titled(request):
    """Header fields with names in title case, as WSGI servers give them; the values of repeated names joined."""
    found = {}
    for name, value in request.headers():
        name = name.title()
        found[name] = f"{found[name]},{value}" if name in found else value
    if decoded and found.get("Content-Encoding", "").strip().lower() in _CODINGS:
        # A script that decodes what is marked as coded must find no mark: the body is what was coded.
        del found["Content-Encoding"]
        found["Content-Length"] = str(len(request.body))
    return found
