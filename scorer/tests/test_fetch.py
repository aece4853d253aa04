"""`python -m azureml_scorer fetch`: code and models come out of a real blob storage, whole or not at all."""

import hashlib
import http.server
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import zipfile

import pytest
from azurite import KEY, Azurite
from conftest import eventually

LARGE = bytes(range(251)) * 50_000  # Several ranges.


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    storage = Azurite(tmp_path_factory.mktemp("azurite"))
    yield storage
    storage.close()


def archive(files):
    """A zip as the provider makes it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            file.writestr(entry, text)
    return content.getvalue()


def manifest(azurite, files):
    """Digest of a model version of these files, which it puts."""
    listed = [{"path": path, "size": len(content), "digest": azurite.put(content)} for path, content in files.items()]
    return azurite.put(json.dumps({"format": 1, "files": listed}).encode())


def model(azurite, name="bert", version=3, files=None):
    files = files or {"bert/weights": LARGE, "bert/config.json": b"{}", "bert/empty": b""}
    return {"id": f"az://models/ws/models/{name}/{version}", "name": name, "version": version, "digest": manifest(azurite, files)}


class Fetch:
    def __init__(self, azurite, root, code=None, models=(), directory="src"):
        self.azurite, self.root = azurite, root
        code = code if code is not None else archive({"score.py": "print(1)\n", "tools/run.sh": "#!/bin/sh\n"})
        digest = code if isinstance(code, str) else azurite.put(code)
        reference = {"digest": digest, "directory": directory, "entry_script": "score.py"}
        self.wanted = {"storage": "az://models/ws", "code": reference, "models": list(models)}
        self.log = root.parent / "termination-log"

    def start(self, **environment):
        environment = {
            "PATH": os.environ["PATH"],
            "AML_APP_ROOT": str(self.root),
            "AZUREML_FETCH": json.dumps(self.wanted),
            "AZUREML_TERMINATION_LOG": str(self.log),
            **self.azurite.environment,
            **environment,
        }
        environment = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-m", "azureml_scorer", "fetch"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, **environment):
        """(exit code, what it said on standard error)."""
        process = self.start(**environment)
        _, said = process.communicate()
        return process.returncode, said

    def fails(self, **environment):
        """The one sentence of the failure."""
        code, said = self.run(**environment)
        assert code == 3, said
        event = json.loads(self.log.read_text())
        assert event["event"] == "failed" and event["message"] == said.splitlines()[-1]
        assert KEY not in said
        return event["message"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "app"


def test_code_and_models_are_where_scripts_look_for_them_and_read_only(azurite, root):
    fetch = Fetch(azurite, root, models=[model(azurite), model(azurite, "ridge", 1, {"ridge.joblib": b"r"})])
    code, said = fetch.run()
    assert code == 0, said
    assert "2 models" in said and "Model bert version 3 is there" in said
    models = root / "azureml-models"
    assert (models / "bert/3/bert/weights").read_bytes() == LARGE
    assert (models / "bert/3/bert/empty").read_bytes() == b""
    assert (models / "ridge/1/ridge.joblib").read_bytes() == b"r"
    assert (root / "src/score.py").read_text() == "print(1)\n"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert {modes[name] for name in ("weights", "config.json", "score.py", "ridge.joblib")} == {0o440}
    assert modes["run.sh"] == 0o550
    assert sorted(path.name for path in root.iterdir()) == ["azureml-models", "src"]


def test_what_is_there_is_not_fetched_again(azurite, root):
    fetch = Fetch(azurite, root, models=[model(azurite)])
    assert fetch.run()[0] == 0
    # Nobody answers there.
    code, said = fetch.run(AZURE_STORAGE_ENDPOINT="http://127.0.0.1:1/devstoreaccount1")
    assert code == 0, said


class Slow(http.server.BaseHTTPRequestHandler):
    """Passes on what is asked for, but holds the later ranges of the large file until it is told to go on."""

    def do_GET(self):
        server = self.server
        if self.headers.get("range", "").startswith(server.held):
            server.reached.set()
            server.go_on.wait()
        import urllib.request

        request = urllib.request.Request(f"http://127.0.0.1:{server.to}{self.path}", headers=dict(self.headers))
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def slow(azurite):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.to, server.held = azurite.port, "bytes=8388608-"
    server.reached, server.go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_fetch_that_was_killed_is_taken_up_by_the_next_one(azurite, slow, root):
    fetch = Fetch(azurite, root, models=[model(azurite)])
    process = fetch.start(AZURE_STORAGE_ENDPOINT=f"http://127.0.0.1:{slow.server_port}/devstoreaccount1")
    slow.reached.wait(60)
    small = eventually("the small file", lambda: list(root.rglob("tree/bert/config.json")))[0]
    before = small.stat().st_ino
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (root / "azureml-models/bert/3").exists()
    code, said = fetch.run()
    assert code == 0, said
    assert (root / "azureml-models/bert/3/bert/weights").read_bytes() == LARGE
    assert (root / "azureml-models/bert/3/bert/config.json").stat().st_ino == before
    assert sorted(path.name for path in root.iterdir()) == ["azureml-models", "src"]


def test_a_content_that_is_missing_or_damaged_is_named_with_its_model(azurite, root):
    missing = hashlib.sha256(b"nobody has put this").hexdigest()
    lost = {"id": "x", "name": "lost", "version": 7, "digest": f"sha256:{missing}"}
    said = Fetch(azurite, root, models=[lost]).fails()
    assert "model lost version 7" in said and missing in said and "not in the store" in said and "terraform apply" in said

    evil = hashlib.sha256(b"good").hexdigest()
    azurite.put(b"evil", evil)
    listed = [{"path": "m/x.bin", "size": 4, "digest": f"sha256:{evil}"}]
    damaged = azurite.put(json.dumps({"format": 1, "files": listed}).encode())
    said = Fetch(azurite, root, models=[{"id": "x", "name": "bad", "version": 1, "digest": damaged}]).fails()
    assert "m/x.bin of model bad version 1" in said and evil in said and "not what its name says" in said
    assert not (root / "azureml-models/bad").exists()


def test_nothing_is_written_outside_of_the_app_root(azurite, root):
    said = Fetch(azurite, root, code=archive({"../evil.py": "x"})).fails()
    assert "the code" in said and "leaves the folder" in said
    listed = [{"path": "../../evil.bin", "size": 1, "digest": azurite.put(b"x")}]
    escaping = azurite.put(json.dumps({"format": 1, "files": listed}).encode())
    said = Fetch(azurite, root, models=[{"id": "x", "name": "evil", "version": 1, "digest": escaping}]).fails()
    assert "leaves its folder" in said
    assert "folder" in Fetch(azurite, root, directory="../src").fails()
    assert not list(root.parent.rglob("evil*"))


def test_a_storage_that_refuses_or_is_not_there_is_told_with_what_to_do(azurite, root):
    fetch = Fetch(azurite, root, models=[model(azurite)])
    said = fetch.fails(AZURE_STORAGE_ACCOUNT_KEY="c2VjcmV0IG9mIG5vYm9keQ==")
    assert "az://models/ws" in said and "credential" in said and "c2Vj" not in said
    assert "AZURE_STORAGE_ACCOUNT_NAME" in fetch.fails(AZURE_STORAGE_ACCOUNT_NAME=None)
    assert "AZUREML_FETCH" in fetch.fails(AZUREML_FETCH="{")
    fetch.wanted["storage"] = "az://nowhere/ws"
    assert "container nowhere does not exist" in fetch.fails()


def test_models_that_do_not_fit_are_refused_before_anything_is_fetched(azurite, root):
    listed = [{"path": "m.bin", "size": 10**18, "digest": azurite.put(b"m")}]
    huge = azurite.put(json.dumps({"format": 1, "files": listed}).encode())
    said = Fetch(azurite, root, models=[{"id": "x", "name": "huge", "version": 1, "digest": huge}]).fails()
    assert "1000000000.0" in said and "GB are free" in said and str(root) in said
    assert not list(root.rglob("*.bin"))
