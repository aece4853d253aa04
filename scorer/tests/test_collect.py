"""Data collection: what score scripts collect ends up in files, whatever happens to the server and the storage."""

import csv
import datetime
import http.server
import io
import json
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import eventually

COLLECT = """
from azureml.monitoring import ModelDataCollector

def init():
    global inputs, predictions
    inputs = ModelDataCollector("diabetes", designation="inputs", feature_names=["a", "b"])
    predictions = ModelDataCollector("diabetes", designation="predictions", feature_names=["y"])

def run(data):
    found = inputs.collect([data, 2], user_correlation_id="mine")
    predictions.collect(predictions.add_correlations([len(data)], found))
    return found
"""
CONFIG_MAP = {
    "accountContext": {"subscriptionId": "SUB", "resourceGroupName": "Group", "accountName": "Place"},
    "modelsInfo": {"diabetes": {"9": {}, "10": {}}},
}
COLUMNS = [
    "$aml_dc_correlation_id",
    "$aml_dc_scoring_timestamp",
    "$aml_dc_boundary",
    "$aml_workspace",
    "$aml_service_name",
    "$aml_model_name",
    "$aml_model_version",
    "$aml_request_id",
]


def read(folder, pattern="*.csv"):
    """All rows of the files that match, by the file's path below the folder; the header is the first row."""
    found = {}
    for path in sorted(folder.rglob(pattern)):
        with open(path, newline="") as file:
            found[str(path.relative_to(folder))] = list(csv.reader(file))
    return found


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0, server.log()


def test_rows_land_in_the_documented_folders_with_the_documented_columns(start, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "model_config_map.json").write_text(json.dumps(CONFIG_MAP))
    (tmp_path / "app" / "score.py").write_text(COLLECT)
    server = start(COLLECT, AZUREML_COLLECT_URI=(tmp_path / "out").as_uri(), SERVICE_NAME="web", AML_APP_ROOT=str(tmp_path / "app"))
    before = datetime.datetime.now(datetime.timezone.utc)
    status, _, text = server.request(body="x,y", headers={"x-request-id": "r-1"})
    assert status == 200
    stop(server)
    found = json.loads(text)
    at = datetime.datetime.fromisoformat(found["$aml_dc_scoring_timestamp"]).replace(tzinfo=datetime.timezone.utc)
    assert before <= at <= datetime.datetime.now(datetime.timezone.utc)
    root = f"sub/group/place/web/diabetes/10/{{}}/{at:%Y/%m/%d}/{{}}.csv"
    correlation = found["$aml_dc_correlation_id"]
    assert correlation.startswith("mine-") and uuid.UUID(correlation[5:])
    shared = [correlation, found["$aml_dc_scoring_timestamp"], "1440", "sub/group/place", "web", "diabetes", "10", "r-1"]
    assert read(tmp_path / "out") == {
        root.format("inputs", "inputs"): [["a", "b", *COLUMNS], ["x,y", "2", *shared]],
        root.format("predictions", "predictions"): [["y", *COLUMNS], ["3", *shared]],
    }


def test_the_boundary_and_a_prefix_shape_the_path_and_signals_have_a_file_of_their_own_name(start, tmp_path):
    script = """
from azureml.monitoring import ModelDataCollector

def init():
    global signals, anything
    signals = ModelDataCollector("m", "signals", workspace="S/G/W", webservice_name="web", model_version="3", collection_name="clicks")
    anything = ModelDataCollector("m", workspace="S/G/W", webservice_name="web", model_version="3")

def run(data):
    return [signals.collect([1]), anything.collect([[1, None], [2, "a\\nb"]])]
"""
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_BOUNDARY="hour", AML_MODEL_DC_FILE_PATH_PREFIX="/some/where/")
    assert json.loads(server.request(body="x")[2]) == [None, None]
    stop(server)
    found = read(tmp_path / "out")
    assert sorted(path.split("/")[:9] for path in found) == [
        ["some", "where", "s", "g", "w", "web", "m", "3", "general"],
        ["some", "where", "s", "g", "w", "web", "m", "3", "signals"],
    ]
    # Year, month, day, hour, file.
    assert sorted((len(path.split("/")[9:]), path.split("/")[-1]) for path in found) == [(5, "clicks.csv"), (5, "default.csv")]
    assert sorted(found.values()) == [[["1"]], [["1", ""], ["2", "a\nb"]]]


def test_labels_go_to_the_model_and_the_day_that_their_correlations_name(start, tmp_path):
    script = """
import json
from azureml.monitoring import ModelDataCollector

def init():
    global labels
    labels = ModelDataCollector("m", "labels", feature_names=["label"])

def run(data):
    labels.collect(labels.add_correlations(["cat"], json.loads(data)))
"""
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "out"))
    named = dict(zip(COLUMNS, ["c", "2021-02-03T04:05:06.7", 60, "s/g/w", "other", "older", "2", "r"]))
    assert server.request(body=json.dumps(named))[0] == 200
    stop(server)
    assert list(read(tmp_path / "out")) == ["s/g/w/other/older/2/labels/2021/02/03/04/labels.csv"]


@pytest.mark.parametrize("name", ["../../up", "/etc", "..", "a\x00b", "x" * 5000])
def test_names_in_a_row_cannot_lead_out_of_the_folder(start, tmp_path, name):
    script = """
import json
from azureml.monitoring import ModelDataCollector

def init():
    global labels
    labels = ModelDataCollector("m", "labels")

def run(data):
    labels.collect(labels.add_correlations(["cat"], json.loads(data)))
"""
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "in" / "out"))
    named = dict(zip(COLUMNS, ["c", "odd", 1440, name, name, name, name, "r"]))
    assert server.request(body=json.dumps(named))[0] == 200
    stop(server)
    assert len(list(tmp_path.rglob("*.csv"))) == 1 == len(list((tmp_path / "in" / "out").rglob("*.csv")))


def test_nothing_is_collected_while_the_switch_is_off_and_scoring_goes_on(start, tmp_path):
    server = start(COLLECT.replace("return found", "return [found, 1]"), AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_STORAGE_ENABLED="false")
    assert json.loads(server.request(body="x")[2]) == [None, 1]
    stop(server)
    assert not (tmp_path / "out").exists()
    assert "AML_MODEL_DC_STORAGE_ENABLED" in server.log()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AML_MODEL_DC_STORAGE_ENABLED": "true"}, "has no target"),
        ({"AML_MODEL_DC_STORAGE_ENABLED": "true", "AML_MODEL_DC_STORAGE": "AccountName=a;AccountKeysecret"}, "not an Azure storage connection string"),
        ({"AZUREML_COLLECT_URI": "ftp://host/x?sig=secret"}, "has the scheme ftp"),
        ({"AZUREML_COLLECT_URI": "/x", "AML_MODEL_DC_FLUSH_INTERVAL_SECONDS": "-1"}, "AML_MODEL_DC_FLUSH_INTERVAL_SECONDS"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_its_secrets_and_scoring_goes_on(start, environment, said):
    server = start(COLLECT, **environment)
    assert server.request(body="x")[0] == 200
    assert said in server.log() and "secret" not in server.log()


def test_an_unknown_designation_switches_the_collector_off(start, tmp_path):
    script = COLLECT.replace('"predictions", feature', '"outputs", feature')
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "out"))
    assert server.request(body="x")[0] == 200
    stop(server)
    assert [path.split("/")[-1] for path in read(tmp_path / "out")] == ["inputs.csv"]
    assert "'outputs'" in server.log()


def test_debug_mode_prints_what_is_collected(start):
    server = start(COLLECT, AML_MODEL_DC_DEBUG="true")
    server.request(body="x")
    stop(server)
    assert "a,b,$aml_dc_correlation_id" in server.log() and "x,2,mine-" in server.log()


def test_rows_are_written_while_the_server_runs(start, tmp_path):
    server = start(COLLECT, AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="0")
    server.request(body="first")
    eventually("the first row", lambda: "first" in str(read(tmp_path / "out", "inputs.csv")))
    server.request(body="second")
    eventually("the second row", lambda: "second" in str(read(tmp_path / "out", "inputs.csv")))
    assert len([row for rows in read(tmp_path / "out", "inputs.csv").values() for row in rows]) == 3


@pytest.mark.parametrize("preload", ["true", "false"])
@pytest.mark.parametrize("interval", ["0", "3600"])
def test_several_workers_write_one_file_with_one_header_and_lose_nothing_at_the_end(start, tmp_path, preload, interval):
    environment = {"WORKER_COUNT": "3", "WORKER_PRELOAD": preload, "AML_MODEL_DC_FLUSH_INTERVAL_SECONDS": interval}
    server = start(COLLECT, AZUREML_COLLECT_URI=str(tmp_path / "out"), **environment)
    sent = [f"row {number}" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: server.request(body=body)[0], sent))
    assert answers == [200] * len(sent)
    stop(server)
    rows = [row for found in read(tmp_path / "out", "inputs.csv").values() for row in found]
    days = len(read(tmp_path / "out", "inputs.csv"))
    assert sorted(row[0] for row in rows) == sorted(sent + ["a"] * days)
    assert {len(row) for row in rows} == {2 + len(COLUMNS)}


def test_what_waits_is_written_at_sigterm(start, tmp_path):
    server = start(COLLECT, AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="3600")
    for number in range(50):
        server.request(body=f"row {number}")
    assert not (tmp_path / "out").exists()
    stop(server)
    rows = [row for found in read(tmp_path / "out", "predictions.csv").values() for row in found]
    assert len([row for row in rows if row[0] != "y"]) == 50


def test_rows_of_a_forked_child_are_written_once_and_so_are_its_parents(start, tmp_path):
    script = """
import os
from azureml.monitoring import ModelDataCollector

def init():
    global general
    general = ModelDataCollector("m")

def run(data):
    general.collect(["before"])
    child = os.fork()
    if not child:
        from azureml_scorer import _core
        general.collect(["child"])
        os._exit(0 if _core.collect_close() else 1)
    status = os.waitpid(child, 0)[1]
    general.collect(["parent"])
    return status
"""
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="3600")
    assert server.request(body="x")[2] == "0"
    stop(server)
    assert sorted(row[0] for rows in read(tmp_path / "out").values() for row in rows) == ["before", "child", "parent"]


def test_a_row_after_a_torn_one_begins_a_line_of_its_own(start, tmp_path):
    script = """
from azureml.monitoring import ModelDataCollector

def init():
    global labels
    labels = ModelDataCollector("m", "labels")

def run(data):
    labels.collect(["new", "2021-01-01"])
"""
    script = script.replace('labels.collect(["new", "2021-01-01"])', "labels.collect(labels.add_correlations(['new'], %r))")
    script %= dict(zip(COLUMNS, ["c", "2021-01-01", 1440, "a/b/c", "s", "m", "1", "r"]))
    torn = tmp_path / "out/a/b/c/s/m/1/labels/2021/01/01/labels.csv"
    torn.parent.mkdir(parents=True)
    torn.write_text("whole\nto")
    server = start(script, AZUREML_COLLECT_URI=str(tmp_path / "out"))
    server.request(body="x")
    stop(server)
    assert torn.read_text().splitlines()[:2] == ["whole", "to"] and torn.read_text().splitlines()[2].startswith("new,c,")


def test_a_folder_that_cannot_be_written_costs_rows_and_no_request(start, tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    server = start(COLLECT, AZUREML_COLLECT_URI=str(tmp_path / "out"), AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="0", AML_MODEL_DC_EVENT_RETRY_TIME="0")
    assert server.request(body="x")[0] == 200
    eventually("the loss in the log", lambda: "are lost" in server.log())
    assert server.request(body="x")[0] == 200
    stop(server)


class Storage(http.server.ThreadingHTTPServer):
    """Stands for a blob storage: keeps what is put, answers with a chosen status, or never."""

    daemon_threads = True

    def __init__(self, statuses=(), hangs=False):
        self.blobs = {}
        self.statuses = list(statuses)
        self.asked = threading.Event()
        self.release = threading.Event()
        self.hangs = hangs
        super().__init__(("127.0.0.1", 0), Blob)

    @property
    def connection_string(self):
        return f"BlobEndpoint=http://127.0.0.1:{self.server_port}/acc;AccountName=acc;AccountKey=c2VjcmV0;"


class Blob(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        storage = self.server
        storage.asked.set()
        if storage.hangs:
            storage.release.wait()
        status = storage.statuses.pop(0) if storage.statuses else 201
        if status == 201:
            assert self.headers["authorization"].startswith(("SharedKey acc:", "AWS4-HMAC-SHA256 Credential=KEY/"))
            storage.blobs[self.path] = body.decode()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.send_header("etag", '"1"')
        self.send_header("last-modified", "Thu, 26 Nov 2026 20:00:00 GMT")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def storage():
    servers = []

    def serve(**how):
        server = Storage(**how)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.release.set()
        server.shutdown()
        server.server_close()


def cloud(storage, **more):
    return {"AML_MODEL_DC_STORAGE_ENABLED": "true", "AML_MODEL_DC_STORAGE": storage.connection_string, **more}


def test_blobs_of_several_writers_never_replace_each_other(start, storage):
    blobs = storage()
    server = start(COLLECT, **cloud(blobs, WORKER_COUNT="2", AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="0"))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda body: server.request(body=body)[0], map(str, range(40)))) == {200}
    stop(server)
    inputs = {path: text for path, text in blobs.blobs.items() if "/inputs/" in path}
    assert all(path.startswith("/acc/modeldata/default/default/default/default/diabetes/default/inputs/2") for path in inputs)
    assert all(path.split("/")[-1].startswith("inputs-") and path.endswith(".csv") for path in inputs)
    rows = [list(csv.reader(io.StringIO(text))) for text in inputs.values()]
    assert all(found[0][:2] == ["a", "b"] for found in rows)
    assert sorted(row[0] for found in rows for row in found[1:]) == sorted(map(str, range(40)))


def test_objects_are_put_into_a_bucket(start, storage):
    bucket = storage()
    server = start(
        COLLECT,
        AZUREML_COLLECT_URI="s3://bucket/some/where",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{bucket.server_port}",
        AWS_ACCESS_KEY_ID="KEY",
        AWS_SECRET_ACCESS_KEY="hidden",
        AWS_REGION="eu-west-1",
    )
    server.request(body="x")
    stop(server)
    assert sorted(path.split("/")[-1].split("-")[0] for path in bucket.blobs) == ["inputs", "predictions"], server.log()
    assert all(path.startswith("/bucket/some/where/default/default/default/default/diabetes/") for path in bucket.blobs)
    assert "hidden" not in server.log()


def test_a_storage_that_fails_for_a_while_gets_every_row_later(start, storage):
    blobs = storage(statuses=[503, 500, 403])
    server = start(COLLECT, **cloud(blobs, AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="0"))
    server.request(body="x")
    eventually("both blobs", lambda: len(blobs.blobs) == 2)
    stop(server)
    assert "can be written again" in server.log() and "c2VjcmV0" not in server.log()


def test_requests_are_answered_while_the_storage_hangs_and_the_queue_is_full(start, storage):
    hanging = storage(hangs=True)
    environment = cloud(hanging, AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="0", AZUREML_COLLECT_QUEUE_BYTES="5000", AZUREML_COLLECT_CLOSE_SECONDS="1")
    server = start(COLLECT, **environment)
    assert server.request(body="x")[0] == 200
    assert hanging.asked.wait(60)
    for _ in range(200):
        assert server.request(body="x")[0] == 200
    eventually("the full queue in the log", lambda: "the queue is full" in server.log())
    assert server.log().count("the queue is full") == 1
    # The end is bounded too.
    stop(server)
    assert not hanging.blobs and "rows are lost" in server.log()


def test_the_original_bound_on_waiting_events_is_kept(start, storage):
    hanging = storage(hangs=True)
    server = start(COLLECT, **cloud(hanging, AML_MODEL_DC_FLUSH_INTERVAL_SECONDS="3600", AML_MODEL_DC_EVENT_MAX_QUEUE_SIZE="10"))
    for _ in range(20):
        assert server.request(body="x")[0] == 200
    eventually("the full queue in the log", lambda: "the queue is full" in server.log())
    hanging.hangs = False
    stop(server)
    assert sum(len(text.splitlines()) - 1 for text in hanging.blobs.values()) == 10
