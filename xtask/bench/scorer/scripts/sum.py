"""The least that a score script does: decode, add, answer."""

import json


def init():
    pass


def work(values):
    return {"sum": sum(values)}


def run(data):
    return work(json.loads(data)["data"])
