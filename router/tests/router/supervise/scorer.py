"""Stands in for a scorer: the control protocol and just enough HTTP, on the inherited sockets.

What it does comes from its environment: ``FAKE`` is ``ok``, ``init`` (reports a failed init), ``crash``, ``hang`` or
``child`` (starts a process of its own); ``FAKE_ANSWER`` is the body of its answers; ``FAKE_SECONDS`` their duration.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

mode = os.environ.get("FAKE", "ok")
control = socket.socket(fileno=int(os.environ["AZUREML_CONTROL_FD"]))
listener = socket.socket(fileno=int(os.environ["AZUREML_LISTEN_FD"]))
answer = os.environ.get("FAKE_ANSWER", "fake").encode()
draining = threading.Event()
changed = threading.Condition()
running = 0


def watch_control():
    while control.recv(1):
        pass
    os._exit(0)


def respond(reader, stream):
    global running
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return False
        head += line
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    with changed:
        refused = draining.is_set()
        running += not refused
    try:
        reader.read(length)
        if refused:
            stream.sendall(b"HTTP/1.1 503 No\r\nx-azureml-refused: draining\r\ncontent-length: 0\r\n\r\n")
        else:
            time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
            stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))
    finally:
        with changed:
            running -= not refused
            changed.notify_all()
    return True


def converse(stream):
    try:
        with stream, stream.makefile("rb") as reader:
            while respond(reader, stream):
                pass
    except OSError:
        pass


def accept():
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=converse, args=(stream,), daemon=True).start()


def tell(event):
    control.sendall(json.dumps(event).encode() + b"\n")


threading.Thread(target=watch_control, daemon=True).start()
print("starting as", mode, "in", os.getcwd(), flush=True)
print("model directory", os.environ["AZUREML_MODEL_DIR"], flush=True)
if mode == "init":
    print("about to fail", flush=True)
    tell({"event": "failed", "reason": "init_failed", "message": "score.py:3: no model", "traceback": "Traceback: no model"})
    sys.exit(3)
if mode == "crash":
    os.kill(os.getpid(), signal.SIGABRT)
if mode == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)
if mode == "child":
    child = os.fork()
    if child == 0:
        while True:
            time.sleep(3600)
    print("child", child, flush=True)

signal.signal(signal.SIGTERM, lambda *_: draining.set())
threading.Thread(target=accept, daemon=True).start()
tell({"event": "ready"})
while not draining.wait(0.05):
    pass
with changed:
    changed.wait_for(lambda: running == 0)
sys.exit(0)
