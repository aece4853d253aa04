"""The work of a score script as a KServe model, over its V1 protocol: the server decodes the JSON."""

import importlib
import os

import kserve

script = importlib.import_module(os.environ["BENCH_SCRIPT"])


class Bench(kserve.Model):
    def __init__(self):
        super().__init__("bench")
        self.load()

    def load(self):
        script.init()
        self.ready = True
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": [script.work(payload["instances"])["sum"]]}


if __name__ == "__main__":
    kserve.ModelServer().start([Bench()])
