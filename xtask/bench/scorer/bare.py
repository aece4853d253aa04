"""Microseconds of one run() of a score script in a bare loop: bare.py SCRIPT BODY SECONDS prints them."""

import importlib
import json
import sys
import time

script, body, seconds = importlib.import_module(sys.argv[1]), open(sys.argv[2]).read(), float(sys.argv[3])
script.init()
# As a server does it: the answer is text.
for _ in range(200):
    json.dumps(script.run(body))
started = time.perf_counter()
calls = 0
while time.perf_counter() - started < seconds:
    for _ in range(100):
        json.dumps(script.run(body))
    calls += 100
print((time.perf_counter() - started) / calls * 1e6)
