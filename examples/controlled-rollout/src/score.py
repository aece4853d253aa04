"""One score script for all versions; each finds its own model."""

import glob
import json
import os

import joblib
import numpy as np


def init():
    global model
    [path] = glob.glob(os.path.join(os.environ["AZUREML_MODEL_DIR"], "*.joblib"))
    model = joblib.load(path)


def run(raw_data):
    rows = np.array(json.loads(raw_data)["data"])
    return model.predict(rows).tolist()
