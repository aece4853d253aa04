"""The work of a score script as a LitServe API: the server decodes the JSON."""

import importlib
import os
import sys

import litserve

script = importlib.import_module(os.environ["BENCH_SCRIPT"])


class Bench(litserve.LitAPI):
    def setup(self, device):
        script.init()

    def predict(self, request):
        return script.work(request["data"])


if __name__ == "__main__":
    server = litserve.LitServer(Bench(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
