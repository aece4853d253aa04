"""The raw request of a score script whose ``run`` is decorated with ``@rawhttp``."""

import io
import json

from azureml_scorer import forms
from azureml_scorer.headers import Headers, MultiDict

# As in the original, one use anywhere in the process makes every request raw.
_rawHttpRequested = False


def rawhttp(func):
    """Marks ``run``: it gets the request itself."""
    global _rawHttpRequested
    _rawHttpRequested = True
    return func


class BadRequestKeyError(KeyError):
    """A field that the request does not have."""


class _Fields(MultiDict):
    def __getitem__(self, name):
        try:
            return super().__getitem__(name)
        except KeyError:
            raise BadRequestKeyError(f"the request has no field {name!r}") from None


class AMLRequest:
    """An HTTP request with the interface of Flask's, which score scripts expect.

    Where Werkzeug is installed, it provides whatever this class lacks.
    """

    charset = "utf-8"
    max_content_length = None
    remote_user = None
    script_root = root_path = ""
    url_rule = endpoint = None

    def __init__(self, request):
        self._request = request
        self.method = request.method
        self.headers = Headers(titled(request))
        self._parsed = {}

    def _once(self, name, make):
        """What is computed at its first use."""
        if name not in self._parsed:
            self._parsed[name] = make()
        return self._parsed[name]

    @property
    def path(self):
        return self._once("path", lambda: forms.urllib.parse.unquote(self._request.path, errors="replace"))

    @property
    def query_string(self):
        return self._request.query.encode()

    @property
    def full_path(self):
        return f"{self.path}?{self._request.query}"

    @property
    def scheme(self):
        return "http"

    @property
    def is_secure(self):
        return False

    @property
    def host(self):
        return self.headers.get("Host", "")

    @property
    def host_url(self):
        return f"{self.scheme}://{self.host}/"

    root_url = url_root = host_url

    @property
    def base_url(self):
        return f"{self.host_url}{self._request.path[1:]}"

    @property
    def url(self):
        return f"{self.base_url}?{self._request.query}" if self._request.query else self.base_url

    @property
    def remote_addr(self):
        return self._request.peer.rpartition(":")[0].strip("[]") or None

    @property
    def access_route(self):
        forwarded = self.headers.get("X-Forwarded-For")
        return [part.strip() for part in forwarded.split(",")] if forwarded else [self.remote_addr] if self.remote_addr else []

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @property
    def mimetype(self):
        return forms.header_parameters(self.content_type or "")[0]

    @property
    def mimetype_params(self):
        return forms.header_parameters(self.content_type or "")[1]

    @property
    def content_length(self):
        return self.headers.get("Content-Length", type=int)

    @property
    def content_encoding(self):
        return self.headers.get("Content-Encoding")

    @property
    def referrer(self):
        return self.headers.get("Referer")

    @property
    def origin(self):
        return self.headers.get("Origin")

    @property
    def user_agent(self):
        return self.headers.get("User-Agent", "")

    @property
    def is_json(self):
        kind = self.mimetype
        return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")

    @property
    def args(self):
        return self._once("args", lambda: _Fields(forms.query_pairs(self._request.query)))

    def _form(self):
        return self._once("form", lambda: [_Fields(part.items(multi=True)) for part in forms.parse(self.content_type or "", self._request.body)])

    @property
    def form(self):
        return self._form()[0]

    @property
    def files(self):
        return self._form()[1]

    @property
    def values(self):
        fields = self.form.items(multi=True) if self.method in ("POST", "PUT", "PATCH") else ()
        return _Fields([*self.args.items(multi=True), *fields])

    @property
    def cookies(self):
        def read():
            pairs = (pair.partition("=") for field in self.headers.getlist("Cookie") for pair in field.split(";"))
            return MultiDict((name.strip(), value.strip().strip('"')) for name, equals, value in pairs if equals)

        return self._once("cookies", read)

    @property
    def data(self):
        """The body; as in Flask, that of a form is in ``form`` and ``files`` instead."""
        return self.get_data(parse_form_data=True)

    def get_data(self, cache=True, as_text=False, parse_form_data=False):
        if parse_form_data and self.mimetype in (forms.URLENCODED, forms.MULTIPART):
            body = b""
        else:
            body = self._request.body
        return body.decode(errors="replace") if as_text else body

    @property
    def stream(self):
        return self._once("stream", lambda: io.BytesIO(self._request.body))

    input_stream = stream

    @property
    def json(self):
        return self.get_json()

    def get_json(self, force=False, silent=False, cache=True):
        """The body as a JSON value; without a JSON content type, and without ``force``, an error."""
        try:
            if not (force or self.is_json):
                raise ValueError("the request's content type is not application/json")
            return self._once("json", lambda: json.loads(self._request.body))
        except ValueError as error:
            if silent:
                return None
            raise ValueError(f"the request's body cannot be read as JSON: {error}") from None

    @property
    def environ(self):
        from azureml_scorer import wsgi

        return self._once("environ", lambda: wsgi.environ(self._request))

    def close(self):
        for file in self._parsed.get("form", (None, MultiDict()))[1].values():
            file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        if not name.startswith("_"):
            try:
                from werkzeug.wrappers import Request
            except ImportError:
                raise AttributeError(f"AMLRequest has no attribute {name!r}; with werkzeug installed it has all of Flask's") from None
            return getattr(self._once("werkzeug", lambda: Request(self.environ)), name)
        raise AttributeError(name)

    def __repr__(self):
        return f"<AMLRequest {self.url!r} [{self.method}]>"


def titled(request):
    """Header fields with names in title case, as WSGI servers give them; the values of repeated names joined."""
    found = {}
    for name, value in request.headers():
        name = name.title()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found
