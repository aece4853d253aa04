"""Score scripts as users of Azure ML v1 write them. None knows which server runs it."""

SCIKIT_LEARN = """
import json
import os

import joblib
import numpy as np


def init():
    global model
    model = joblib.load(os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.joblib"))
    print("model loaded")


def run(raw_data):
    try:
        data = np.array(json.loads(raw_data)["data"])
        print(f"scoring {len(data)} rows")
        return {"classes": model.predict(data).tolist(), "odds": model.predict_proba(data).round(6).tolist()}
    except Exception as error:
        return str(error)
"""

XGBOOST = """
import json
import os

import numpy as np
import xgboost


def init():
    global booster
    booster = xgboost.Booster(model_file=os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.json"))


def run(data):
    rows = np.asarray(json.loads(data)["data"], dtype=np.float32)
    return booster.predict(xgboost.DMatrix(rows)).tolist()
"""

LIGHTGBM = """
import json
import os

import lightgbm
import numpy as np


def init():
    global booster
    booster = lightgbm.Booster(model_file=os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.txt"))


def run(data):
    rows = np.asarray(json.loads(data)["data"])
    # As JSON text: the caller gets a quoted string.
    return json.dumps({"result": booster.predict(rows, num_threads=1).tolist()})
"""

CATBOOST = """
import json
import logging
import os

from azureml.contrib.services.aml_response import AMLResponse
from catboost import CatBoostRegressor


def init():
    global model
    model = CatBoostRegressor()
    model.load_model(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.cbm"))


def run(data):
    try:
        rows = json.loads(data)["data"]
    except (ValueError, KeyError) as error:
        logging.warning("bad request: %s", error)
        return AMLResponse({"error": type(error).__name__}, 400, {"x-reason": "data"}, json_str=True)
    return AMLResponse({"result": model.predict(rows).tolist()}, 200, {"x-model": "catboost"}, json_str=True)
"""

ONNX = """
import json
import os
import time

import numpy as np
import onnxruntime


def init():
    global session, name
    path = os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name


def run(data):
    rows = np.array(json.loads(data)["data"], dtype="float32")
    started = time.time()
    (result,) = session.run(None, {name: rows})
    assert time.time() >= started
    return {"result": result.reshape(-1).tolist()}
"""

IMAGE = """
import io

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from PIL import Image


def init():
    pass


@rawhttp
def run(request):
    if request.method == "GET":
        return AMLResponse(f"send an image, {request.args.get('name', 'stranger')}", 200)
    if request.method != "POST":
        return AMLResponse("bad request", 405)
    if request.files:
        body = request.files["image"].read()
    else:
        body = request.get_data()
    try:
        image = Image.open(io.BytesIO(body)).convert("RGB")
    except OSError:
        return AMLResponse("no image", 400)
    if request.headers.get("Accept") == "image/png":
        thumbnail = io.BytesIO()
        image.resize((2, 2)).save(thumbnail, format="PNG")
        response = AMLResponse(thumbnail.getvalue(), 200)
        response.headers["Content-Type"] = "image/png"
        return response
    return {"size": image.size, "mean": sum(image.convert("L").tobytes()) / (image.width * image.height)}
"""

STREAM = """
import json

from flask import Response


def init():
    pass


def run(data):
    words = json.loads(data)["prompt"].split()

    def tokens():
        for word in words:
            yield word[::-1] + "\\n"

    return Response(tokens(), mimetype="text/plain")
"""

PANDAS = """
import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame({"age": [31], "income": [2500.5], "city": ["Graz"], "since": pd.to_datetime(["2024-01-31"])})


def init():
    pass


@input_schema("data", PandasParameterType(SAMPLE))
@input_schema("options", StandardPythonParameterType({"factor": 1.0}), optional=True)
@output_schema(StandardPythonParameterType({"scores": [1.5], "types": ["int64"]}))
def run(data, options=None):
    factor = (options or {}).get("factor", 1.0)
    years = data["since"].dt.year
    scores = (data["age"] * 0.5 + data["income"] / 1000 + years) * factor
    return {"scores": scores.tolist(), "types": [str(kind) for kind in data.dtypes]}
"""

NUMPY = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    global weights
    weights = np.array([1.5, -2.0, 0.5])


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0, 3.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data, request_headers):
    return {"result": (data @ weights).tolist(), "tenant": request_headers.get("X-Tenant")}
"""

MANY = """
import json
import os
from pathlib import Path

import joblib
import numpy as np


def init():
    global linear, weights, labels
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    latest = max((root / "iris").iterdir(), key=lambda version: int(version.name))
    linear = joblib.load(latest / "model.joblib")
    ensemble = root / "folder" / "3" / "ensemble"
    weights = np.loadtxt(ensemble / "parts" / "weights.csv", delimiter=",")
    labels = json.loads((ensemble / "labels.json").read_text())


def run(data):
    rows = np.array(json.loads(data)["data"])
    votes = linear.predict(rows) + (rows @ weights > 0)
    return [{"label": labels[int(vote > 1)], "votes": int(vote)} for vote in votes]
"""
