"""Tiny models, trained once and stored as a workspace would lay them out: `azureml-models/<name>/<version>/...`."""

import json

import numpy as np

RANDOM = np.random.default_rng(7)
ROWS = RANDOM.normal(size=(120, 4))
CLASSES = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
TARGETS = ROWS @ np.array([1.5, -2.0, 0.5, 3.0]) + 1.0
# What the tests score.
SAMPLES = [[0.5, -1.25, 3.0, 0.0], [1.0, 2.0, -0.5, 0.25], [0.0, 0.0, 0.0, 0.0]]


def scikit_learn(folder):
    import joblib
    from sklearn.linear_model import LogisticRegression

    joblib.dump(LogisticRegression().fit(ROWS, CLASSES), folder / "model.joblib")


def xgboost(folder):
    import xgboost

    model = xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(ROWS, TARGETS), num_boost_round=8)
    model.save_model(folder / "model.json")


def lightgbm(folder):
    import lightgbm

    settings = {"objective": "regression", "verbose": -1, "num_leaves": 7, "num_threads": 1}
    lightgbm.train(settings, lightgbm.Dataset(ROWS, TARGETS), num_boost_round=8).save_model(folder / "model.txt")


def catboost(folder):
    import catboost

    model = catboost.CatBoostRegressor(
        iterations=8, depth=3, thread_count=1, verbose=False, random_seed=7, allow_writing_files=False
    )
    model.fit(ROWS, TARGETS).save_model(str(folder / "model.cbm"))


def onnx(folder):
    """A linear model as a graph of two operators, with least squares for training."""
    import onnx

    weights, *_ = np.linalg.lstsq(np.column_stack([ROWS, np.ones(len(ROWS))]), TARGETS, rcond=None)
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", number, [None, 4])],
        [helper.make_tensor_value_info("y", number, [None, 1])],
        [
            helper.make_tensor("w", number, [4, 1], weights[:4].astype("float32")),
            helper.make_tensor("b", number, [1], weights[4:].astype("float32")),
        ],
    )
    # Old versions, that every runtime reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "model.onnx")


def folder(folder):
    """A model that is a folder: weights in one file, names in another."""
    (folder / "ensemble" / "parts").mkdir(parents=True)
    np.savetxt(folder / "ensemble" / "parts" / "weights.csv", [1.5, -2.0, 0.5, 3.0], delimiter=",")
    (folder / "ensemble" / "labels.json").write_text(json.dumps(["low", "high"]))
