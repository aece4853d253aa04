"""JSON text of results: numpy, pandas and dates too, and never what JSON does not have."""

import json
import math
import sys


def encoder(nan, strict):
    """The function that makes JSON text of a result: ``nan`` is ``error``, ``null`` or ``bare``."""
    encode = json.JSONEncoder(allow_nan=nan == "bare", default=None if strict else _convert).encode

    def dumps(value):
        if value is None:
            return "{}"
        try:
            return encode(value)
        except (ValueError, TypeError) as error:
            if strict and nan == "bare" or "Circular" in str(error):
                raise
            return _repaired(value, encode, nan)

    return dumps


def _convert(value):
    """A value that ``json`` does not know: those of numpy, pandas and datetime have an obvious form."""
    numpy, pandas, dates = (sys.modules.get(name) for name in ("numpy", "pandas", "datetime"))
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return (value.astype(str) if value.dtype.kind == "M" else value).tolist()
        if isinstance(value, numpy.datetime64):
            return str(value)
        if isinstance(value, numpy.generic):
            plain = value.item()
            if isinstance(plain, (bool, int, float, str)):
                return plain
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return value.to_dict(orient="records")
        if isinstance(value, (pandas.Series, pandas.Index)):
            return value.tolist()
        if value is pandas.NaT or value is pandas.NA:
            return math.nan
    if dates is not None and isinstance(value, (dates.date, dates.time)):
        return value.isoformat()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _repaired(value, encode, nan):
    """JSON text of a value that the encoder refused: for numbers that JSON lacks, or keys of numpy."""
    found = []
    plain = _plain(value, "$", found)
    if found and nan == "error":
        more = f" and {len(found) - 1} more places" if len(found) > 1 else ""
        raise ValueError(f"JSON has no NaN or Infinity, which the result has at {found[0]}{more}; AZUREML_NAN=null sends null instead") from None
    return encode(plain)


def _plain(value, path, found):
    """A copy with null for what is not finite; the places of those are added to ``found``."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        found.append(path)
        return None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {_key(name): _plain(inner, f"{path}.{name}", found) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, f"{path}[{index}]", found) for index, inner in enumerate(value)]
    return _plain(_convert(value), path, found)


def _key(name):
    numpy = sys.modules.get("numpy")
    return name.item() if numpy is not None and isinstance(name, numpy.generic) else name
