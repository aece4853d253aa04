"""A real model: scikit-learn's scaler and logistic regression, one row a request."""

import json
import os

import joblib


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def work(values):
    return model.predict(values).tolist()


def run(data):
    return work(json.loads(data)["data"])
