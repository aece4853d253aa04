"""Microseconds of one run() of a score script in a bare loop: bare.py SCRIPT BODY, then seconds, line by line."""

import importlib
import json
import sys
import time


def measure(run, body, seconds):
    started = time.perf_counter()
    calls = 0
    while time.perf_counter() - started < seconds:
        for _ in range(100):
            # As a server does it: the answer is text.
            json.dumps(run(body))
        calls += 100
    return (time.perf_counter() - started) / calls * 1e6


script, body = importlib.import_module(sys.argv[1]), open(sys.argv[2]).read()
script.init()
for line in sys.stdin:
    print(measure(script.run, body, float(line)), flush=True)
