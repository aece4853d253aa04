"""Prints what one implementation of ``inference_schema`` makes of every case, as JSON.

Run as ``python schema_cases.py inference_schema`` or ``... azureml_scorer.schema``: both must print the same.
"""

import base64
import datetime
import decimal
import importlib
import json
import sys
import warnings

import numpy as np
import pandas as pd

ROOT = sys.argv[1]


def module(name):
    return importlib.import_module(f"{ROOT}.{name}")


decorators = module("schema_decorators")
util = module("schema_util")
AbstractParameterType = module("parameter_types.abstract_parameter_type").AbstractParameterType
Standard = module("parameter_types.standard_py_parameter_type").StandardPythonParameterType
Numpy = module("parameter_types.numpy_parameter_type").NumpyParameterType
Pandas = module("parameter_types.pandas_parameter_type").PandasParameterType


class Money(AbstractParameterType):
    """A parameter type of a script's own."""

    def deserialize_input(self, input_data):
        return decimal.Decimal(input_data["amount"])

    def input_to_swagger(self):
        return {"type": "object", "format": "money", "example": {"amount": str(self.sample_input)}}


UTC = datetime.timezone.utc
RECORD = np.dtype([("age", "i4"), ("name", "U20"), ("when", "M8[s]"), ("pair", "f8", (2,)), ("in", [("x", "f4")])])
FRAME = pd.DataFrame({"age": [31, 40], "weight": [70.5, 80.25], "name": ["Ann", "Bob"], "ok": [True, False]})
DATED = pd.DataFrame(
    {
        "day": pd.to_datetime(["2024-01-31", "2024-02-29"]),
        "zoned": pd.to_datetime(["2024-01-31T10:00Z", "2024-02-29T10:00Z"]),
        "span": pd.to_timedelta(["1 days", "2 hours"]),
        "n": [1, 2],
    }
)

# Name: (how the type is made, what is sent).
CASES = {
    "int": (lambda: Standard(1), [2, True, 2.9, "2", None, 10**30]),
    "float": (lambda: Standard(1.5), [2.5, 2, "2", None, True]),
    "bool": (lambda: Standard(True), [False, 1, "true"]),
    "str": (lambda: Standard("a"), ["b", "", 1, None, ["b"]]),
    "bytes": (lambda: Standard(b"abc"), [base64.b64encode(b"xyz").decode(), "a", 1, ""]),
    "bytearray": (lambda: Standard(bytearray(b"abc")), [1]),
    "date": (lambda: Standard(datetime.date(2024, 1, 31)), [1, "x"]),
    "datetime": (
        lambda: Standard(datetime.datetime(2024, 1, 31, 12, 30, 1, 5)),
        ["2024-02-29T10:11:12Z", "2024-02-29 10:11:12.5 +0200", "2024-02-29", "29 Feb 2024 10:00", "x", 5, None],
    ),
    "datetime with a zone": (
        lambda: Standard(datetime.datetime(2024, 1, 31, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))),
        ["2024-02-29T10:11:12.123456+05:30"],
    ),
    "time": (lambda: Standard(datetime.time(10, 20, 30)), ["11:22:33", "11:22:33.25 +0100", "11:22", "x", 4]),
    "list": (lambda: Standard([1, 2]), [[3], [], ["a"], {"a": 1}, "abc", None]),
    "mixed list": (lambda: Standard([1, "a"]), [[3]]),
    "list ending in another type": (lambda: Standard([1, 2.5]), [[3]]),
    "empty list": (lambda: Standard([]), [[3]]),
    "tuple": (lambda: Standard((1, 2)), [[3], 3]),
    "range": (lambda: Standard(range(3)), [[3]]),
    "nested lists": (lambda: Standard([[1], [2, 3]]), [[[1]]]),
    "nested mixed lists": (lambda: Standard({"a": [[1], ["x"], [1, "x"]]}), []),
    "dict": (lambda: Standard({"a": 1, "b": {"c": [1.5], "d": None}}), [{"a": 2}, {}, {"z": 1}, [1], None]),
    "dict with number keys": (lambda: Standard({1: 2}), [{"1": 3}]),
    "None inside": (lambda: Standard([None]), [[1]]),
    "None": (lambda: Standard(None), []),
    "not JSON": (lambda: Standard({"a": {1, 2}}), []),
    "nested types": (
        lambda: Standard(
            {
                "first": Numpy(np.array([[1.5, 2.5]])),
                "second": Pandas(FRAME),
                "third": Standard({"deep": Standard([Standard(1.0)]), "plain": "x"}),
                "when": Standard(datetime.datetime(2024, 1, 31)),
            }
        ),
        [
            {"first": [[1, 2]], "second": FRAME.to_dict("records"), "third": {"deep": [1.0, 2]}, "when": "2024-01-31"},
            {"third": {"deep": ["x"]}},
            {"first": [[1, 2, 3]]},
            {"first": 3},
            {"second": "x"},
            {"third": []},
            {},
            [],
        ],
    ),
    "list of types": (lambda: Standard([Standard(datetime.time(1)), Standard(datetime.time(2))]), [["10:00"], [5], 5]),
    "tuple of types": (lambda: Standard((Numpy(np.array([1])),)), [[[1], [2, 3]], [[[1]]]]),
    "own type": (lambda: Money(decimal.Decimal("1.50")), [{"amount": "2.75"}, {}, {"amount": "x"}, 3]),
    "own type inside": (
        lambda: Standard({"price": Money(decimal.Decimal(3))}),
        [{"price": {"amount": "1"}}, {"price": 1}],
    ),
    "no type": (lambda: 5, []),
    "numpy of a list": (lambda: Numpy([1]), []),
    "numpy structured": (
        lambda: Numpy(np.array([(1, "a", "2024-01-31", (1, 2), (3,))], dtype=RECORD)),
        [
            [{"age": 2, "name": "b", "when": "2024-02-29T10:00:00", "pair": [1, 2], "in": {"x": 2}}],
            [[2, "b", "2024-02-29", [1, 2], [5]]],
            [{"age": 2}],
            [{"age": "x", "name": "b", "when": "2024-02-29", "pair": [1, 2], "in": {"x": 2}}],
            [[2]],
            [3],
        ],
    ),
    "numpy dates": (
        lambda: Numpy(np.array(["2024-01-31T10:20:30.5"], dtype="M8[ms]")),
        [["2024-02-29"], ["2024-02-29T10:00"], ["x"], [5]],
    ),
    "numpy time spans": (
        lambda: Numpy(np.array([5, 6], dtype="m8[h]")),
        [["5 hours"], ["2 days"], ["x"], ["5 moons"], [5]],
    ),
    "numpy text": (lambda: Numpy(np.array(["ab", "c"])), [["longer text"], [1], [None]]),
    "numpy bytes": (lambda: Numpy(np.array([b"ab"])), [["xy"]]),
    "numpy objects": (lambda: Numpy(np.array([1, "a"], dtype=object)), [[1, "b", None], [{"a": 1}]]),
    "numpy of free shape": (lambda: Numpy(np.array([[1, 2]]), enforce_shape=False), [[1], [[1], [2]], [[1], [2, 3]]]),
    "numpy of free type": (
        lambda: Numpy(np.array([[1, 2]]), enforce_column_type=False),
        [[["a", "b"]], [[1.5, 2]], []],
    ),
    "numpy of three dimensions": (
        lambda: Numpy(np.zeros((2, 2, 2))),
        [np.ones((1, 2, 2)).tolist(), np.ones((1, 2, 3)).tolist()],
    ),
    "numpy without rows": (lambda: Numpy(np.zeros((0, 2))), [[[1, 2]]]),
    "numpy complex": (lambda: Numpy(np.array([1j])), []),
    "numpy scalar": (lambda: Numpy(np.array(1)), []),
    "pandas of a list": (lambda: Pandas([1]), []),
    "pandas of a wrong orient": (lambda: Pandas(FRAME, orient="x"), []),
    "pandas of free types": (
        lambda: Pandas(FRAME, enforce_column_type=False),
        [[{"age": "x", "weight": 1, "name": 2, "ok": 3}]],
    ),
    "pandas of free shape": (lambda: Pandas(FRAME, enforce_shape=False), [[{"age": 1}], [{"age": 1, "z": [1]}], []]),
    "pandas with names applied": (
        lambda: Pandas(FRAME, apply_column_names=True, orient="values"),
        [[[1, 2.5, "x", True]], [[1, 2]]],
    ),
    "pandas with number columns": (lambda: Pandas(pd.DataFrame([[1, 2.5]])), [[{"0": 1, "1": 2}]]),
    "pandas without rows": (lambda: Pandas(FRAME.iloc[:0]), [[{"age": 1, "weight": 1, "name": "x", "ok": True}]]),
    "pandas of categories": (lambda: Pandas(pd.DataFrame({"c": pd.Categorical(["a", "b"])})), [[{"c": "b"}]]),
    "pandas with missing values": (
        lambda: Pandas(pd.DataFrame({"a": [1.0, None], "b": ["x", None]})),
        [[{"a": None, "b": None}]],
    ),
    "pandas by column": (
        lambda: Pandas(FRAME),
        [
            {"age": [1, 2], "weight": [1, 2.5], "name": ["x", "y"], "ok": [True, False]},
            {"age": [1, "x"], "weight": [1, 2.5], "name": ["x", "y"], "ok": [True, False]},
            {"age": {"r": "x"}, "weight": {"r": 1}, "name": {"r": "y"}, "ok": {"r": True}},
        ],
    ),
    "pandas of lists": (lambda: Pandas(pd.DataFrame({"a": [[1, 2], [3]]})), [[{"a": [5]}]]),
}
for name in (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
):
    CASES[f"numpy {name}"] = (
        lambda name=name: Numpy(np.array([[1, 0], [1, 1]], dtype=name)),
        [
            [[1, 2]],
            [[1.9, 0]],
            [["3", "4"]],
            [[1, 2, 3]],
            [1, 2],
            [[1], [2, 3]],
            [["x", 1]],
            [[None, 1]],
            [],
            {"a": 1},
            "x",
            [[300, -1]],
        ],
    )
for orient in ("split", "records", "index", "columns", "values", "table"):
    good = json.loads(FRAME.to_json(orient=orient))
    bad = json.loads(FRAME.assign(age=["x", 3]).to_json(orient=orient))
    fewer = json.loads(FRAME[["age"]].to_json(orient=orient))
    other = json.loads(FRAME.rename(columns={"age": "years"}).to_json(orient=orient))
    dated = json.loads(DATED.astype({"span": str}).to_json(orient=orient, date_format="iso"))
    CASES[f"pandas {orient}"] = (
        lambda orient=orient: Pandas(FRAME, orient=orient),
        [good, bad, fewer, other, "x", 1, [], {}],
    )
    CASES[f"pandas dates {orient}"] = (lambda orient=orient: Pandas(DATED, orient=orient), [dated, good])


def shown(value):
    """A converted value as JSON that also tells its types."""
    if isinstance(value, np.ndarray):
        return ["ndarray", str(value.dtype), list(value.shape), repr(value.tolist())]
    if isinstance(value, pd.DataFrame):
        kinds = [[repr(name), str(kind)] for name, kind in zip(value.columns, value.dtypes)]
        return ["DataFrame", kinds, repr(value.index.tolist()), repr(value.values.tolist())]
    if isinstance(value, (datetime.datetime, datetime.time)):
        return [type(value).__name__, value.isoformat()]
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [shown(inner) for inner in value]]
    return [type(value).__name__, repr(value)]


def outcome(name, make, inputs):
    try:
        kind = make()

        @decorators.output_schema(kind)
        @decorators.input_schema("other", Standard(1), optional=True)
        @decorators.input_schema("data", kind)
        def run(data, other=None):
            return data

        run_schema = util.get_input_schema(run)
    except Exception as error:
        return {"refused": type(error).__name__}
    found = {
        "input": run_schema,
        "output": util.get_output_schema(run),
        "versions": util.get_supported_versions(run),
        "type versions": kind.supported_versions(),
        "answers": [],
    }
    # The registry goes by name.
    for names in (util.__dict__.get("__functions_schema__"), util.__dict__.get("__versions__")):
        if names is not None:
            names.clear()
    for given in inputs:
        text = json.dumps(given)
        answers = []
        for call in (lambda: run(data=json.loads(text)), lambda: run(json.loads(text))):
            try:
                answers.append(shown(call()))
            except Exception as error:
                answers.append({"error": str(getattr(error, "path", ""))})
        found["answers"].append([text, *answers])
    return found


def main():
    warnings.simplefilter("ignore")
    print(json.dumps({name: outcome(name, *case) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
