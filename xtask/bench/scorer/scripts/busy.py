"""A score that holds the interpreter's lock for as many seconds as it is told: one call into C that never gives it up."""

import itertools
import json
import time

_PROBE = 2_000_000


def init():
    global _per_second
    started = time.perf_counter()
    sum(itertools.repeat(1, _PROBE))
    _per_second = _PROBE / (time.perf_counter() - started)


def work(values):
    sum(itertools.repeat(1, int(values[0] * _per_second)))
    return {"sum": sum(values)}


def run(data):
    return work(json.loads(data)["data"])
