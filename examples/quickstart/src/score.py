"""An ordinary Azure Machine Learning v1 score script."""

import json
import os

import joblib
import numpy as np


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "ridge.joblib"))


def run(raw_data):
    rows = np.array(json.loads(raw_data)["data"])
    return model.predict(rows).tolist()
