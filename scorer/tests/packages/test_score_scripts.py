"""Ten score scripts of real libraries, by the original server and by ours: the same answers, byte for byte."""

import io
import json

import models
import pytest
import scripts
from PIL import Image

JSON = {"Content-Type": "application/json"}
ROWS = json.dumps({"data": models.SAMPLES})


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """Stores a model once: the root of all models, as the folder of the container."""
    root = tmp_path_factory.mktemp("azureml-models")

    def store(train, name, version="1"):
        folder = root / name / version
        if not folder.exists():
            folder.mkdir(parents=True)
            train(folder)
        return folder

    store.root = root
    return store


BAD_BODIES = ["", "not json", "[]", '{"data": "x"}', '{"other": 1}']


def score(pair, bodies):
    """All bodies, and one as a query: some succeed, and what fails fails alike."""
    answers = [pair.same(body=body, headers=JSON) for body in bodies]
    answers.append(pair.same("GET", f"/score?data={json.dumps(models.SAMPLES[:1]).replace(' ', '')}"))
    assert answers[0].status == answers[-1].status == 200
    return json.loads(answers[0].body)


def test_scikit_learn(pair, stored):
    folder = stored(models.scikit_learn, "iris")
    result = score(pair(scripts.SCIKIT_LEARN, AZUREML_MODEL_DIR=str(folder)), [ROWS, *BAD_BODIES])
    assert len(result["classes"]) == len(models.SAMPLES)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost", "onnx"])
def test_boosted_trees_and_graphs(pair, stored, name):
    folder = stored(getattr(models, name), name)
    result = score(pair(getattr(scripts, name.upper()), AZUREML_MODEL_DIR=str(folder)), [ROWS, *BAD_BODIES])
    assert (
        len(json.loads(result)["result"] if name == "lightgbm" else result if name == "xgboost" else result["result"])
        == 3
    )


def test_a_response_of_the_script_chooses_status_and_headers(pair, stored):
    started = pair(scripts.CATBOOST, AZUREML_MODEL_DIR=str(stored(models.catboost, "catboost")))
    assert started.same(body=ROWS).headers["x-model"] == "catboost"
    refused = started.same(body="{")
    assert refused.status == 400 and refused.headers["x-reason"] == "data"


def picture(kind):
    image = Image.new("RGB", (6, 4), (200, 30, 60))
    image.putpixel((0, 0), (0, 0, 0))
    body = io.BytesIO()
    image.save(body, format=kind)
    return body.getvalue()


def test_raw_image_bytes(pair):
    started = pair(scripts.IMAGE)
    png = picture("PNG")
    answer = started.same(body=png, headers={"Content-Type": "image/png"})
    assert json.loads(answer.body)["size"] == [6, 4]
    started.same(body=picture("JPEG"), headers={"Content-Type": "application/octet-stream"})
    thumbnail = started.same(body=png, headers={"Accept": "image/png"})
    assert thumbnail.body.startswith(b"\x89PNG") and thumbnail.headers["content-type"] == "image/png"
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    form = part + png + b"\r\n--x--\r\n"
    assert started.same(body=form, headers={"Content-Type": "multipart/form-data; boundary=x"}).status == 200
    assert started.same(body=b"no image").status == 400
    assert started.same("GET", "/score?name=Ann%20B").body == b"send an image, Ann B"
    assert started.same("OPTIONS", "/score").status == 405


def test_streamed_text(pair):
    started = pair(scripts.STREAM)
    words = " ".join(f"word{number}" for number in range(500))
    answer = started.same(body=json.dumps({"prompt": words}))
    assert answer.body.startswith(b"0drow\n1drow\n") and answer.body.endswith(b"994drow\n")
    assert started.same(body='{"prompt": ""}').body == b""
    assert started.same(body="{").status == 500


PERSON = {"age": 40, "income": 1250.25, "city": "Wien", "since": "2020-05-01T00:00:00.000"}
# Data that do not fit the schema, and the place in them.
BAD_PEOPLE = [
    ([PERSON, {**PERSON, "age": "old"}], "data[1].age"),
    ([{"age": 1}], "data"),
    ("people", "data"),
    (None, "data"),
]
BAD_ARRAYS = [([[1, 2, "x"]], "data[0][2]"), ([[1, 2]], "data[0]"), ([[1, 2, 3], [1]], "data[1]"), ({"a": 1}, "data")]


def test_pandas_schema(pair):
    started = pair(scripts.PANDAS, beside=True, AZUREML_COMPAT="strict")
    answer = started.same(body=json.dumps({"data": [PERSON, PERSON]}), headers=JSON)
    assert answer.status == 200 and len(json.loads(answer.body)["scores"]) == 2
    started.same(body=json.dumps({"data": [PERSON], "options": {"factor": 2}, "unknown": 1}), headers=JSON)
    for bad, _ in BAD_PEOPLE:
        assert started.same(body=json.dumps({"data": bad}), headers=JSON).status == 500
    for body, status in (("", 400), ("{", 400), ("[]", 400), ("{}", 400)):
        assert started.same(body=body, headers=JSON).status == status
    assert started.same(body=json.dumps({"data": [PERSON]}), headers={"Content-Type": "text/plain"}).status == 415


def test_numpy_schema(pair):
    started = pair(scripts.NUMPY, beside=True, AZUREML_COMPAT="strict")
    answer = started.same(body='{"data": [[1, 2, 3], ["4", 5.5, 6]]}', headers={**JSON, "x-tenant": "t1"})
    assert json.loads(answer.body) == {"result": [-1.0, -2.0], "tenant": "t1"}
    assert started.same("GET", "/score?data=[[1,2,3]]").status == 200
    for bad, _ in BAD_ARRAYS:
        assert started.same(body=json.dumps({"data": bad}), headers=JSON).status == 500


@pytest.mark.parametrize("ours", ["ours", "beside"])
@pytest.mark.parametrize(("script", "bad"), [(scripts.PANDAS, BAD_PEOPLE), (scripts.NUMPY, BAD_ARRAYS)])
def test_a_violation_of_the_schema_is_a_400_that_names_the_field(serve, ours, script, bad):
    server = serve(ours, script)
    for data, path in bad:
        answer = server.request(body=json.dumps({"data": data}), headers=JSON)
        assert answer.status == 400, answer.body
        # An installed inference_schema does not know the place inside an array.
        wanted = path if ours == "ours" else "data"
        assert json.loads(answer.body)["message"].startswith(wanted) or wanted in json.loads(answer.body)["message"]


def test_many_models(pair, stored):
    stored(models.scikit_learn, "iris")
    stored(models.scikit_learn, "iris", "12")
    stored(models.folder, "folder", "3")
    result = score(pair(scripts.MANY, AZUREML_MODEL_DIR=str(stored.root)), [ROWS, *BAD_BODIES])
    assert {row["label"] for row in result} <= {"low", "high"}


def test_a_model_that_is_a_folder(pair, stored):
    script = """
import json, os

def init():
    global labels, files
    root = os.environ["AZUREML_MODEL_DIR"]
    labels = json.load(open(os.path.join(root, "ensemble", "labels.json")))
    files = sorted(os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names)

def run(data):
    return [labels, files]
"""
    answer = pair(script, AZUREML_MODEL_DIR=str(stored(models.folder, "folder", "3"))).same(body="")
    assert json.loads(answer.body)[1] == ["ensemble/labels.json", "ensemble/parts/weights.csv"]
