"""The work of a score script as a BentoML service: the server decodes the JSON."""

import importlib
import os

import bentoml

script = importlib.import_module(os.environ["BENCH_SCRIPT"])


@bentoml.service(workers=1)
class Bench:
    def __init__(self):
        script.init()

    @bentoml.api
    def score(self, data: list[int], text: str = "") -> dict:
        return script.work(data)
