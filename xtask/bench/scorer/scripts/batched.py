"""predict.py, one call of the model for all the rows that wait."""

import json
import os

import joblib
from azureml_scorer import batch


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


@batch(max_size=64, max_wait_ms=5)
def run(rows):
    values = [json.loads(row)["data"][0] for row in rows]
    return [[prediction] for prediction in model.predict(values).tolist()]
