"""Azurite: a real blob storage for tests, installed from the lock file of the test node beside cargo's build output."""

import base64
import email.utils
import fcntl
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import threading
import uuid

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def _installed():
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target") / "release" / "azurite"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = False
        for name in ("package.json", "package-lock.json"):
            wanted = (REPOSITORY / "tests/acceptance/cluster/azurite" / name).read_bytes()
            if not (folder / name).exists() or (folder / name).read_bytes() != wanted:
                changed = True
                (folder / name).write_bytes(wanted)
        if changed or not (folder / "node_modules/.package-lock.json").exists():
            assert shutil.which("npm"), "npm is missing; install Node.js"
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True)
    return folder / "node_modules/azurite/dist/src/blob/main.js"


class Azurite:
    """A running one, with an empty container `models`."""

    def __init__(self, data):
        flags = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck", "--disableTelemetry", "--loose"]
        command = ["node", str(_installed()), *flags, "--location", str(data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            found = re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", line)
            if found:
                break
        self.port = int(found.group(1))
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        assert self.request("PUT", "/models", {"restype": "container"}) == 201

    @property
    def environment(self):
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{ACCOUNT}",
        }

    def request(self, method, path, query=None, body=b"", headers=None):
        """Status of a signed request."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02", **(headers or {})}
        fields = [method, "", "", str(len(body) or ""), *[""] * 8]
        fields += [f"{name}:{headers[name]}" for name in sorted(headers)]
        fields += [f"/{ACCOUNT}/{ACCOUNT}{path}", *(f"{name}:{value}" for name, value in sorted((query or {}).items()))]
        signature = hmac.new(base64.b64decode(KEY), "\n".join(fields).encode(), hashlib.sha256).digest()
        headers["authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        target = f"/{ACCOUNT}{path}" + "".join(f"?{name}={value}" for name, value in (query or {}).items())
        connection.request(method, target, body=body or None, headers={**headers, "content-length": str(len(body))})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def put(self, content, digest=None):
        """Puts a content as the provider does; its digest."""
        digest = digest or hashlib.sha256(content).hexdigest()
        path = self.blob(digest) + uuid.uuid4().hex
        assert self.request("PUT", path, body=content, headers={"x-ms-blob-type": "BlockBlob"}) == 201
        return f"sha256:{digest}"

    @staticmethod
    def blob(digest):
        return f"/models/ws/blobs/sha256/{digest[:2]}/{digest[2:]}/"

    def close(self):
        self.process.kill()
        self.process.wait()
