#!/usr/bin/env python3
"""The admin end of a router, for tests: it holds the lock, listens, and says of every document that it is served.

Replicas are not started; those of `broken.py` count as failed for good, those of `slow.py` as never ready. It ends
when its directory is removed.
"""

import fcntl
import json
import os
import re
import select
import socket
import sys

VERSION = os.environ.get("FAKE_VERSION") or re.search(r"version=(\S+)", open(__file__).read().splitlines()[-1])[1]


def say(line):
    print(json.dumps(line), flush=True)


def replicas(version, template):
    script = template["code"]["entry_script"]
    ready = script not in ("broken.py", "slow.py")
    wanted = version["scale"]["fixed"]
    failure = {
        "reason": "init_failed", "message": "init() failed: broken.py, line 2: ValueError: no weights",
        "traceback": "Traceback (most recent call last):\nValueError: no weights", "exit_code": 3, "log_tail": [],
        "count": 1, "terminal": script == "broken.py",
    }
    return {
        "revision": "", "desired_replicas": wanted, "updated_replicas": wanted if ready else 0,
        "available_replicas": wanted, "replicas": [], "failure": None if ready else failure,
    }


WORKER = [1]


def status(address):
    services = {}
    for name in os.listdir("services"):
        if name.endswith(".json"):
            with open(f"services/{name}") as file:
                document = json.load(file)
            versions = document["versions"].items()
            services[name.removesuffix(".json")] = {
                "accepted_generation": document["generation"], "served_generation": document["generation"],
                "refused": None,
                "versions": {name: replicas(version, version["template"]) for name, version in versions},
            }
    return {"result": "status", "version": VERSION, "pid": os.getpid(), "worker_pid": WORKER[0], "address": address,
            "services": services}


def supervise(directory):
    os.chdir(directory)
    os.setsid()
    os.makedirs("services", exist_ok=True)
    lock = open("supervisor.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return say({"error": {"reason": "already_running", "message": "another one runs"}})
    with open("azureml-fe.toml") as file:
        text = file.read()
    address, port = re.search(r'address = "(.*)"', text)[1], int(re.search(r"port = (\d+)", text)[1])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        return say({"error": {"reason": "port_in_use", "message": f"cannot listen on {address}:{port}: {error}"}})
    listener.listen()
    if not os.path.exists("signing-keys.json"):
        key = {"id": "test", "seed": "01" * 32, "active_from": "2026-01-01T00:00:00Z"}
        with open("signing-keys.json", "w") as file:
            json.dump({"keys": [key]}, file)
    if os.path.exists("admin.sock"):
        os.remove("admin.sock")
    admin = socket.socket(socket.AF_UNIX)
    admin.bind("admin.sock")
    admin.listen()
    say({"ready": {"version": VERSION, "address": f"{address}:{port}"}})
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    own = os.path.abspath("supervisor.lock")
    while os.path.exists(own):
        if not select.select([admin], [], [], 0.2)[0]:
            continue
        client, _ = admin.accept()
        with client, client.makefile("rw") as stream:
            line = stream.readline()
            request = json.loads(line) if line else {"op": "nothing"}
            if request["op"] == "stop":
                os.remove("admin.sock")
                lock.close()
            if request["op"] == "upgrade":
                WORKER[0] += 1
            done = request["op"] in ("stop", "upgrade")
            answer = {"result": "done"} if done else status(f"{address}:{port}")
            stream.write(json.dumps(answer) + "\n")
            stream.flush()
            if request["op"] == "stop":
                return None


if __name__ == "__main__":
    if sys.argv[1] == "--version":
        print("azureml-fe", VERSION)
    else:
        supervise(sys.argv[3])
# version=1.0.0
