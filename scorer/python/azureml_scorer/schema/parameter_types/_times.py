"""Reads dates and times: by ``dateutil`` where it is installed, as ``inference_schema`` does, else on its own."""

import re
import reprlib
from datetime import date, datetime
from email.utils import parsedate_to_datetime

from azureml_scorer.schema.errors import SchemaViolation, kind

try:
    from dateutil.parser import parse as _parse
except ImportError:
    _parse = None

_ZONE = re.compile(r"\s*(?:[zZ]|UTC|GMT|([+-]\d\d):?(\d\d)?)$")
_FRACTION = re.compile(r"[.,](\d+)")


def read_date(text):
    """A date, written as 2024-01-31."""
    return _read(text, lambda: datetime.strptime(text, "%Y-%m-%d").date(), "a date", "2024-01-31")


def read_datetime(text):
    """A date with a time of day."""
    parse = _parse or _iso
    return _read(text, lambda: parse(text), "a date and time", "2024-01-31T12:30:00+00:00")


def read_time(text):
    """A time of day, with its zone."""
    parse = _parse or (lambda only: _iso(f"{date.today()}T{only}"))
    return _read(text, lambda: parse(text).timetz(), "a time of day", "12:30:00+00:00")


def _read(text, read, what, example):
    if not isinstance(text, str):
        raise SchemaViolation(f"expected {what} as a string such as {example}, got {kind(type(text))}")
    try:
        return read()
    except (ValueError, TypeError, OverflowError):
        raise SchemaViolation(f"{reprlib.repr(text)} is not {what}; write it as {example}") from None


def _iso(text):
    """ISO 8601 as all Pythons read it, from the spellings that are in use; else an e-mail date."""
    plain = text.strip()
    zone = _ZONE.search(plain)
    # Before the time of day, a sign belongs to the date.
    if zone and ":" in plain[: zone.start()]:
        hours, minutes = zone.group(1) or "+00", zone.group(2) or "00"
        plain = f"{plain[: zone.start()]}{hours}:{minutes}"
    plain = _FRACTION.sub(lambda digits: "." + digits.group(1)[:6].ljust(6, "0"), plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        return parsedate_to_datetime(text)
