"""Some milliseconds of pure Python."""

import json


def init():
    pass


def run(data):
    total = 0
    for number in range(100_000):
        total += number * number % 7
    return {"sum": sum(json.loads(data)["data"]), "total": total}
