"""Our ``inference_schema`` against the installed one: the same schemas, the same converted values."""

import json
import subprocess
from pathlib import Path

import pytest
from side_by_side import ORIGINAL, OURS

CASES = Path(__file__).parent / "schema_cases.py"


def outcomes(python, root):
    run = subprocess.run([str(python), str(CASES), root], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def both():
    return outcomes(ORIGINAL, "inference_schema"), outcomes(OURS, "azureml_scorer.schema")


def test_every_sample_has_the_schema_and_the_versions_of_the_original(both):
    original, ours = both
    assert len(original) > 70
    for name, theirs in original.items():
        assert ("refused" in theirs) == ("refused" in ours[name]), name
        for part in theirs.keys() - {"answers", "refused"}:
            # As text: the order of the fields is part of the document.
            assert json.dumps(theirs[part]) == json.dumps(ours[name][part]), (name, part)


def test_every_value_is_converted_as_by_the_original_and_refused_where_it_refuses(both):
    original, ours = both
    compared = 0
    for name, theirs in original.items():
        for (sent, *wanted), (_, *got) in zip(theirs.get("answers", []), ours[name].get("answers", [])):
            for one, other in zip(wanted, got):
                compared += 1
                if "error" in one:
                    assert "error" in other, (name, sent, other)
                else:
                    assert one == other, (name, sent)
    assert compared > 400


def test_every_violation_names_the_parameter_and_the_place_in_it(both):
    _, ours = both
    places = {}
    for name, found in ours.items():
        for sent, *answers in found.get("answers", []):
            for answer in answers:
                if "error" in answer:
                    assert answer["error"].startswith("data"), (name, sent, answer)
                    places[name, sent] = answer["error"]
    assert places["numpy int32", '[["x", 1]]'] == "data[0][0]"
    assert places["numpy int32", "[[1], [2, 3]]"] == "data[1]"
    assert places["nested types", '{"third": {"deep": ["x"]}}'] == "data.third.deep[0]"
    wrong = {name: place for (name, sent), place in places.items() if '"x"' in sent and len(sent) > 3}
    assert wrong["pandas records"] == wrong["pandas table"].replace(".data", "") == "data[0].age"
    assert wrong["pandas index"] == 'data["0"].age'
    assert wrong["pandas columns"] == 'data.age["0"]'
    by_column = [place for (name, _), place in places.items() if name == "pandas by column"]
    assert by_column == ["data.age[1]", "data.age.r"]
    assert wrong["pandas split"] == "data.data[0][0]"
