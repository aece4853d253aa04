"""Reads dates and times: by ``dateutil`` where it is installed, as ``inference_schema`` does, else on its own."""

import re
from datetime import date, datetime
from email.utils import parsedate_to_datetime

from azureml_scorer.schema.errors import SchemaViolation

try:
    from dateutil.parser import parse as _parse
except ImportError:
    _parse = None

_ZONE = re.compile(r"\s*(?:[zZ]|UTC|GMT|([+-]\d\d):?(\d\d)?)$")
_FRACTION = re.compile(r"[.,](\d+)")


def read_date(text):
    """A date, written as 2024-01-31."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except (ValueError, TypeError):
        raise SchemaViolation(f"{text!r:.80} is not a date; write it as 2024-01-31") from None


def read_datetime(text):
    """A date with a time of day."""
    try:
        return _parse(text) if _parse else _iso(text)
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise SchemaViolation(f"{text!r:.80} is not a date and time; write it as 2024-01-31T12:30:00+00:00") from None


def read_time(text):
    """A time of day, with its zone."""
    try:
        return (_parse(text) if _parse else _iso(f"{date.today()}T{text}")).timetz()
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise SchemaViolation(f"{text!r:.80} is not a time of day; write it as 12:30:00+00:00") from None


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
