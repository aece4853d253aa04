"""Requests as Flask and Werkzeug want them, for scripts that have imported these."""

import io
import sys
import urllib.parse

from azureml_scorer.aml_request import AMLRequest, titled


def environ(request):
    """The WSGI environment of a request."""
    body = request.body
    headers = titled(request)
    host, _, port = headers.get("Host", "localhost").partition(":")
    peer, _, peer_port = request.peer.rpartition(":")
    target = f"{request.path}?{request.query}" if request.query else request.path
    found = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": urllib.parse.unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "azmlinfsrv",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if peer:
        found.update(REMOTE_ADDR=peer.strip("[]"), REMOTE_PORT=peer_port)
    for name, value in headers.items():
        found["HTTP_" + name.upper().replace("-", "_")] = value
    if "HTTP_CONTENT_TYPE" in found:
        found["CONTENT_TYPE"] = found.pop("HTTP_CONTENT_TYPE")
    found.pop("HTTP_CONTENT_LENGTH", None)
    found.pop("HTTP_TRANSFER_ENCODING", None)
    # Of the body as the script reads it: it may have been compressed or chunked.
    found["CONTENT_LENGTH"] = str(len(body))
    return found


_application = None


def context(request):
    """Flask's request context for a request, so that ``flask.request`` and ``jsonify`` work; None without Flask."""
    global _application
    flask = sys.modules.get("flask")
    if flask is None:
        return None
    if _application is None:
        _application = flask.Flask("azureml_scorer")
    return _application.request_context(environ(request))


def raw_request(request):
    """What a raw ``run`` gets: Werkzeug's own request if the script has imported that, else ours."""
    wrappers = sys.modules.get("werkzeug.wrappers")
    return AMLRequest(request) if wrappers is None else wrappers.Request(environ(request))
