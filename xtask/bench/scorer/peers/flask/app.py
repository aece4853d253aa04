"""A score script as a Flask application."""

import importlib
import os

from flask import Flask, request

script = importlib.import_module(os.environ["BENCH_SCRIPT"])
script.init()
app = Flask(__name__)


@app.get("/")
def health():
    return "Healthy"


@app.post("/score")
def score():
    return script.run(request.get_data(as_text=True))
