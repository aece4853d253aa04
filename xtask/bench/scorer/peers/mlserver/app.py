"""The work of a score script as an MLServer model, over the Open Inference Protocol: the server decodes the JSON."""

import importlib
import os

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

script = importlib.import_module(os.environ["BENCH_SCRIPT"])


class Bench(MLModel):
    async def load(self):
        script.init()
        return True

    async def predict(self, payload):
        total = script.work(payload.inputs[0].data)["sum"]
        output = ResponseOutput(name="sum", shape=[1], datatype="INT64", data=[total])
        return InferenceResponse(model_name=self.name, outputs=[output])
