"""Data collection of numpy arrays and pandas frames."""

import csv
import io
import json
import signal

ARRAYS = """
import numpy
import pandas
from azureml.monitoring import ModelDataCollector

def init():
    global inputs, predictions, general
    inputs = ModelDataCollector("m", "inputs", feature_names=["a", "b"])
    predictions = ModelDataCollector("m", "predictions", feature_names=["y"])
    general = ModelDataCollector("m", "general")

def run(data):
    if data == "array":
        found = inputs.collect(numpy.array([[1.5, 2], [3, 4]]))
        predictions.collect(predictions.add_correlations(numpy.array([7, 8]).reshape(2, 1), found))
        general.collect(numpy.array([1, 2, 3], dtype="int8"))
        general.collect(numpy.zeros((2, 2, 2)))
    else:
        frame = pandas.DataFrame({"p": [1.5, None], "q": ["x,y", None], "at": pandas.to_datetime(["2024-01-02", None])})
        found = inputs.collect(frame)
        predictions.collect(predictions.add_correlations(pandas.DataFrame({"score": [0.25, None]}), found))
        general.collect(frame)
    return list(found)
"""


def collected(start, folder, kind):
    server = start(ARRAYS, AZUREML_COLLECT_URI=str(folder))
    names = json.loads(server.request(body=kind)[2])
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0, server.log()
    found = {path.name: list(csv.reader(io.StringIO(path.read_text()))) for path in folder.rglob("*.csv")}
    return names, found, server.log()


def test_arrays_become_rows_and_those_of_more_dimensions_are_refused_in_the_log(start, tmp_path):
    names, found, log = collected(start, tmp_path / "out", "array")
    assert found["inputs.csv"][0] == ["a", "b", *names]
    assert [row[:2] for row in found["inputs.csv"][1:]] == [["1.5", "2.0"], ["3.0", "4.0"]]
    assert found["predictions.csv"][0] == ["y", *names]
    assert [row[0] for row in found["predictions.csv"][1:]] == ["7", "8"]
    # All rows of one call share its correlations, and predictions those of their inputs.
    assert len({tuple(row[2:]) for row in found["inputs.csv"][1:]} | {tuple(row[1:]) for row in found["predictions.csv"][1:]}) == 1
    assert found["default.csv"] == [["1", "2", "3"]]
    assert "3 dimensions" in log


def test_frames_bring_their_own_column_names_and_missing_values_are_empty(start, tmp_path):
    names, found, _ = collected(start, tmp_path / "out", "frame")
    assert found["inputs.csv"][0] == ["p", "q", "at", *names]
    assert [row[:3] for row in found["inputs.csv"][1:]] == [["1.5", "x,y", "2024-01-02"], ["", "", ""]]
    assert found["predictions.csv"][0] == ["score", *names]
    assert [row[0] for row in found["predictions.csv"][1:]] == ["0.25", ""]
    assert found["default.csv"] == [["p", "q", "at"], ["1.5", "x,y", "2024-01-02"], ["", "", ""]]
