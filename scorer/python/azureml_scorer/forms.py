"""Parsers of URL-encoded and multipart forms, bounded and strict."""

import io
import urllib.parse

from azureml_scorer.headers import Headers, MultiDict

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# The body as a whole is bounded by the server; this bounds the objects that are made of it.
_MOST_PARTS = 1000
_LONGEST_PART_HEAD = 8 * 1024


class FormError(ValueError):
    """A form that is not well formed; the text says where."""


def header_parameters(value):
    """A header's main value in lower case, and its parameters."""
    main, _, rest = value.partition(";")
    parameters = {}
    while rest:
        name, _, rest = rest.partition("=")
        rest = rest.lstrip()
        if rest.startswith('"'):
            text, end = [], 1
            while end < len(rest) and rest[end] != '"':
                # Only quotes and backslashes are escaped: browsers send Windows paths otherwise.
                if rest[end] == "\\" and rest[end + 1 : end + 2] in ('"', "\\"):
                    end += 1
                text.append(rest[end])
                end += 1
            found, (_, _, rest) = "".join(text), rest[end:].partition(";")
        else:
            found, _, rest = rest.partition(";")
            found = found.strip()
        parameters[name.strip(" ;\t").lower()] = found
    return main.strip().lower(), parameters


def query_pairs(text):
    """Name and value pairs of a query or a URL-encoded form."""
    return urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARTS, errors="replace") if text else []


class FileStorage:
    """A file of a multipart form, with the interface of Werkzeug's."""

    def __init__(self, content, filename, name, headers):
        self.stream = io.BytesIO(content)
        self.filename = filename
        self.name = name
        self.headers = headers
        self.content_length = len(content)

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @property
    def mimetype(self):
        return header_parameters(self.content_type or "")[0]

    @property
    def mimetype_params(self):
        return header_parameters(self.content_type or "")[1]

    def save(self, dst, buffer_size=16384):
        """Writes the rest of the file to a path or an open binary file."""
        if hasattr(dst, "write"):
            dst.write(self.stream.read())
            return
        with open(dst, "wb") as file:
            file.write(self.stream.read())

    def __bool__(self):
        return bool(self.filename)

    def __iter__(self):
        return iter(self.stream)

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __repr__(self):
        return f"<FileStorage: {self.filename!r} ({self.content_type!r})>"


def parse(content_type, body):
    """(fields, files) of a form; both empty for another kind of body."""
    kind, parameters = header_parameters(content_type)
    if kind == URLENCODED:
        try:
            return MultiDict(query_pairs(body.decode(errors="replace"))), MultiDict()
        except ValueError:
            raise FormError(f"the form has more than {_MOST_PARTS} fields") from None
    if kind != MULTIPART:
        return MultiDict(), MultiDict()
    boundary = parameters.get("boundary", "")
    if not 1 <= len(boundary) <= 200:
        raise FormError("the content type of the form has no usable boundary")
    fields, files = [], []
    for head, content in _parts(body, b"--" + boundary.encode(errors="replace")):
        _, disposition = header_parameters(head.get("Content-Disposition", ""))
        name = disposition.get("name")
        if name is None:
            raise FormError("a part of the form has no name")
        filename = disposition.get("filename")
        if "filename*" in disposition:
            charset, _, quoted = disposition["filename*"].partition("'")
            filename = urllib.parse.unquote(quoted.partition("'")[2], encoding=charset if charset.lower() in ("utf-8", "iso-8859-1") else "utf-8")
        if filename is None:
            fields.append((name, content.decode(errors="replace")))
        else:
            files.append((name, FileStorage(content, filename, name, head)))
    return MultiDict(fields), MultiDict(files)


def _parts(body, delimiter):
    """Header fields and content of each part."""
    view = body if body.startswith(delimiter) else None
    at = 0 if view is not None else body.find(b"\r\n" + delimiter)
    if at < 0:
        raise FormError("the form does not begin with its boundary")
    at += len(delimiter) if view is not None else len(delimiter) + 2
    for _ in range(_MOST_PARTS + 1):
        if body.startswith(b"--", at):
            return
        line = body.find(b"\r\n", at)
        if line < 0 or body[at:line].strip(b" \t"):
            break
        # A part without any header begins with the empty line at once.
        end = line + 2 if body.startswith(b"\r\n", line + 2) else body.find(b"\r\n\r\n", line + 2, line + 2 + _LONGEST_PART_HEAD)
        following = body.find(b"\r\n" + delimiter, max(end, line))
        if end < 0 or following < 0:
            break
        yield _head(body[line + 2 : end]), body[end + 4 : following] if end > line + 2 else body[end + 2 : following]
        at = following + 2 + len(delimiter)
    else:
        raise FormError(f"the form has more than {_MOST_PARTS} parts")
    raise FormError("the form ends in the middle of a part")


def _head(text):
    pairs = []
    for line in text.decode(errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if line and not colon:
            raise FormError("a part of the form has a header line without a colon")
        if line:
            pairs.append((name.strip().title(), value.strip()))
    return Headers(pairs)
