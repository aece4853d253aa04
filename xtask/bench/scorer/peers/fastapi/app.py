"""A score script as a FastAPI application, called on the event loop: scores are too short for its thread pool."""

import importlib
import os

from fastapi import FastAPI, Request

script = importlib.import_module(os.environ["BENCH_SCRIPT"])
script.init()
app = FastAPI()


@app.get("/")
async def health():
    return "Healthy"


@app.post("/score")
async def score(request: Request):
    return script.run((await request.body()).decode())
