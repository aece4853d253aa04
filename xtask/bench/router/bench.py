#!/usr/bin/env python3
"""CPU per request, throughput and latency of azureml-fe beside nginx, in the same run.

Both check the same key, split 80/20 over the same two backends, and write an access log. The proxy under test has core 0,
the load (wrk) and the backends (another nginx) have core 1. Peers take turns, so that other load on the machine meets both.
CPU comes from schedstat, summed over the proxy's threads and children.

    python3 bench.py --router target/release/azureml-fe [--seconds 5] [--rounds 5] [--json target/bench/router.json]

Needs nginx and wrk (Debian packages of these names), and Linux.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KEY = "correct-horse-battery-staple"
NGINX_PORT, ROUTER_PORT = 18081, 18082
CASES = [("small", 64, 0), ("small", 256, 0), ("64 KB", 64, 65_000)]


def snapshot():
    def version(sequence, share):
        environment = {"id": "file:///w/environments/e", "version": 1, "hash": "h", "build_key": "b", "prefix": "/v"}
        code = {"digest": "sha256:00", "directory": "source", "entry_script": "score.py"}
        return {
            "sequence": sequence, "declared": {"traffic": share}, "scale": {"fixed": 1},
            "replica_max_concurrent_requests": 1000, "max_request_wait_time": 500, "scoring_timeout_ms": 60000,
            "template": {"models": [], "code": code, "environment": environment},
        }

    service = {
        "schema_version": 1, "generation": 1, "name": "bench", "kind": "endpoint", "workspace": "file:///w",
        "owner": "bench", "committed": True, "created_time": "2026-01-01T00:00:00Z",
        "updated_time": "2026-01-01T00:00:00Z", "auth": {"mode": "key", "keys": 1},
        "versions": {"blue": version(1, 8000), "green": version(2, 2000)},
        "served": {"default": "blue", "shares": {"blue": 8000, "green": 2000}},
    }
    replicas = {name: [{"id": name, "address": {"unix": f"{name}.sock"}}] for name in ("blue", "green")}
    digests = {"accepted": [hashlib.sha256(KEY.encode()).hexdigest(), hashlib.sha256(b"another").hexdigest()]}
    entry = {"service": service, "keys": digests, "replicas": replicas}
    return json.dumps({"snapshot": {"sequence": 1, "services": {"bench": entry}}}).encode() + b"\n"


class Bench:
    def __init__(self, router, directory):
        self.router, self.directory, self.processes = router, directory, []

    def start(self, core, *command, **options):
        process = subprocess.Popen(["taskset", "-c", str(core), *command], cwd=self.directory, **options)
        self.processes.append(process)
        return process

    def nginx(self, core, config):
        return self.start(core, "nginx", "-p", self.directory, "-c", str(HERE / config))

    def start_router(self):
        (pathlib.Path(self.directory) / "azureml-fe.toml").write_text("threads = 1\n")
        listener = socket.create_server(("127.0.0.1", ROUTER_PORT))
        self.control, theirs = socket.socketpair()
        log = open(os.path.join(self.directory, "router.log"), "wb")
        process = self.start(
            0, str(self.router), "route", "--listen-fd", str(listener.fileno()),
            stdin=theirs, stderr=log, pass_fds=[listener.fileno()],
        )
        self.control.sendall(snapshot())
        assert b"serving" in self.control.recv(4096)
        return process

    def load(self, port, connections, seconds, body):
        url = f"http://127.0.0.1:{port}/api/v1/endpoint/bench/score"
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                   "-s", str(HERE / "post.lua"), url]
        environment = {**os.environ, "BODY_BYTES": str(body)}
        text = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
        failed = re.search(r"(Socket errors.*|Non-2xx.*)", text)
        if failed:
            raise SystemExit(f"port {port}: {failed[0]}")
        latency = {share: value for share, value in re.findall(r"^\s+(50|99)%\s+(\S+)$", text, re.M)}
        return int(re.search(r"(\d+) requests in", text)[1]), latency

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()


def family(pid):
    yield pid
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
            yield from family(int(child))


def cpu_us(pid):
    threads = (path for member in family(pid) for path in pathlib.Path(f"/proc/{member}/task").iterdir())
    return sum(int((path / "schedstat").read_text().split()[0]) for path in threads) / 1000


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--router", type=pathlib.Path, required=True)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", type=pathlib.Path)
    options = arguments.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as directory:
        # nginx gives its workers another user, who must reach the backends' sockets.
        os.chmod(directory, 0o755)
        bench = Bench(options.router.resolve(), directory)
        try:
            bench.nginx(1, "backends.conf")
            peers = {"nginx": (NGINX_PORT, bench.nginx(0, "nginx.conf")), "azureml-fe": (ROUTER_PORT, bench.start_router())}
            time.sleep(1)
            for body, connections, size in CASES:
                runs = {name: [] for name in peers}
                for turn in range(options.rounds + 1):
                    for name, (port, process) in peers.items():
                        before = cpu_us(process.pid)
                        requests, latency = bench.load(port, connections, options.seconds, size)
                        cpu = (cpu_us(process.pid) - before) / requests
                        # The first round warms connections and caches.
                        if turn:
                            runs[name].append((cpu, requests / options.seconds, *(microseconds(latency[p]) for p in ("50", "99"))))
                for name, measured in runs.items():
                    cpu, rate, p50, p99 = (statistics.median(column) for column in zip(*measured))
                    results.append({"proxy": name, "body": body, "connections": connections, "cpu_us": round(cpu, 2),
                                    "requests_per_second": round(rate), "p50_us": round(p50), "p99_us": round(p99)})
                ours, theirs = results[-1], results[-2]
                for result in (theirs, ours):
                    result["cpu_ratio_to_nginx"] = round(result["cpu_us"] / theirs["cpu_us"], 2)
                    print("{proxy:11} {body:6} c{connections:<4} {cpu_us:7.2f} us CPU  x{cpu_ratio_to_nginx:4.2f}  "
                          "{requests_per_second:6}/s  p50 {p50_us} us  p99 {p99_us} us".format(**result), flush=True)
        finally:
            bench.stop()
    report = {"load_average": os.getloadavg(), "cpus": os.cpu_count(), "results": results}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
