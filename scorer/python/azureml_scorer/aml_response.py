"""What a score script returns to choose status and headers."""

import json

from azureml_scorer.headers import Headers

# The original cuts header values at commas into several fields; main sets this for AZUREML_COMPAT=strict.
split_values = False

TEXT = "text/html; charset=utf-8"
JSON = "application/json"


class AMLResponse:
    """An answer with a status code and headers of its own.

    ``message`` is text, bytes or an iterable of such, which is streamed; with ``json_str`` any JSON value. A status of
    500 and above marks the function as failed, whatever ``run_function_failed`` says.
    """

    def __init__(self, message, status_code, response_headers=None, json_str=False, run_function_failed=False):
        self.status_code = int(status_code)
        self.run_function_failed = run_function_failed
        encoded = message is None or json_str
        self.response = json.dumps({} if message is None else message) if encoded else message
        self.headers = Headers([("Content-Type", JSON if encoded else TEXT)])
        for name, value in (response_headers or {}).items():
            values = [part.strip() for part in value.split(",")] if split_values else [value]
            if name.lower() == "content-type":
                # In the original the type of JSON stays: the script's own came second.
                if not (encoded and split_values):
                    self.headers["Content-Type"] = value
            else:
                for one in values:
                    self.headers.add(name, one)

    @property
    def data(self):
        return self.get_data()

    @data.setter
    def data(self, value):
        self.set_data(value)

    def get_data(self, as_text=False):
        """The body; an iterable that is to be streamed cannot be asked for."""
        body = self.response
        if not isinstance(body, (str, bytes, bytearray, memoryview)):
            raise RuntimeError("the body of this AMLResponse is streamed")
        content = body.encode() if isinstance(body, str) else bytes(body)
        return content.decode() if as_text else content

    def set_data(self, value):
        self.response = value

    @property
    def json(self):
        return self.get_json()

    def get_json(self, force=False, silent=False):
        return json.loads(self.get_data()) if force or self.is_json else None

    @property
    def is_json(self):
        return self.mimetype == JSON or self.mimetype.endswith("+json")

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @content_type.setter
    def content_type(self, value):
        self.headers["Content-Type"] = value

    @property
    def mimetype(self):
        return (self.content_type or "").split(";")[0].strip().lower()

    @mimetype.setter
    def mimetype(self, value):
        self.headers["Content-Type"] = f"{value}; charset=utf-8" if value.startswith("text/") else value

    @property
    def status(self):
        import http

        try:
            return f"{self.status_code} {http.HTTPStatus(self.status_code).phrase.upper()}"
        except ValueError:
            return f"{self.status_code} UNKNOWN"

    @status.setter
    def status(self, value):
        self.status_code = value if isinstance(value, int) else int(value.split()[0])

    def set_cookie(self, key, value="", max_age=None, expires=None, path="/", domain=None, secure=False, httponly=False, samesite=None):
        """Adds a cookie; the arguments are Flask's."""
        from http.cookies import SimpleCookie

        cookie = SimpleCookie({key: value})
        given = {"max-age": max_age, "expires": expires, "path": path, "domain": domain, "secure": secure, "httponly": httponly, "samesite": samesite}
        cookie[key].update({name: wanted for name, wanted in given.items() if wanted})
        if max_age == 0:
            cookie[key]["max-age"] = "0"
        self.headers.add("Set-Cookie", cookie[key].OutputString())

    def delete_cookie(self, key, path="/", domain=None):
        self.set_cookie(key, max_age=0, expires="Thu, 01 Jan 1970 00:00:00 GMT", path=path, domain=domain)
