"""Violations that an installed ``inference_schema`` raises are told from errors of the script, with their path."""

import json
import subprocess

import pytest
from side_by_side import ORIGINAL

PROGRAM = """
import datetime, json, sys
import numpy as np
from azureml_scorer.schema.errors import violation_in
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Standard
from inference_schema.schema_decorators import input_schema

@input_schema("data", Standard({"deep": Standard([Standard(1.5)]), "rows": NumpyParameterType(np.array([[1.5]]))}))
@input_schema("when", Standard(datetime.datetime(2024, 1, 31)))
def run(data, when):
    if data == {}:
        raise ValueError("of the script")
    return data

def seen(data, when="2024-01-31"):
    try:
        run(data=data, when=when)
    except Exception as error:
        found = violation_in(error)
        return found and [found.path, found.reason]

print(json.dumps([seen({"deep": [1.5, "x"]}), seen({"rows": [["x"]]}), seen(5), seen({}), seen({"deep": []}, when="soon")]))
"""


@pytest.fixture(scope="module")
def seen():
    run = subprocess.run([str(ORIGINAL), "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_the_path_leads_to_the_field_that_was_converted(seen):
    deep, rows, whole, _, when = seen
    assert deep[0] == "data.deep[1]" and "float" in deep[1]
    assert rows[0] == "data.rows" and "could not convert" in rows[1]
    assert whole[0] == "data"
    assert when[0] == "when"


def test_an_error_of_the_script_is_no_violation(seen):
    assert seen[3] is None
