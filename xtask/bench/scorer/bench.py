"""Measures the scorer beside its peers: requests per second and CPU time per request.

    python bench.py --ours <venv> --peers <venv> [--seconds 4] [--rounds 2] [--json FILE]

`--ours` has azureml-scorer installed, `--peers` azureml-inference-server-http and granian. Needs wrk and two cores: servers
run on core 0, wrk on core 1. Servers are measured in turn in each round, and the best round counts. CPU time is that of the
server's whole process tree; anything else that runs on the machine makes the figures worse, so the load is printed.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tree(pid):
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as children:
            for child in children.read().split():
                found += tree(int(child))
    return found


def cpu_seconds(pid):
    total = 0
    for process in tree(pid):
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/schedstat") as schedstat:
                total += int(schedstat.read().split()[0])
    return total / 1e9


def servers(ours, peers):
    script = os.path.join(HERE, "score.py")
    yield "azureml-scorer", lambda port: [f"{ours}/bin/azmlinfsrv", "--entry_script", script, "--port", port]
    yield "granian-wsgi", lambda port: [f"{peers}/bin/granian", "--interface", "wsgi", "--workers", "1", "--port", port, "wsgi:app"]
    yield "azureml-inference-server-http", lambda port: [f"{peers}/bin/azmlinfsrv", "--entry_script", script, "--port", port]


def measure(command, connections, seconds):
    port = str(free_port())
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(["taskset", "-c", "0", *command(port)], cwd=HERE, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}/score"
            request = urllib.request.Request(url, b'{"data": [1]}', {"Content-Type": "application/json"})
            until = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(request).read()
                    break
                except OSError:
                    if time.monotonic() > until or server.poll() is not None:
                        log.seek(0)
                        raise SystemExit(f"{command(port)} does not answer:\n{log.read().decode()}")
                    time.sleep(0.02)
            results = {}
            for count in connections:
                before = cpu_seconds(server.pid)
                wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{count}", f"-d{seconds}s", "--latency", "-s", f"{HERE}/post.lua", url]
                text = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
                cpu = cpu_seconds(server.pid) - before
                requests = int(re.search(r"(\d+) requests in", text)[1])
                bad = re.search(r"Non-2xx.*|Socket errors.*", text)
                results[count] = {
                    "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
                    "cpu_us": cpu / max(requests, 1) * 1e6,
                    "p50": re.search(r"50%\s+(\S+)", text)[1],
                    "p99": re.search(r"99%\s+(\S+)", text)[1],
                    "errors": bad[0].strip() if bad else None,
                }
            return results
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="virtual environment of azureml-scorer")
    parser.add_argument("--peers", required=True, help="virtual environment of the peers")
    parser.add_argument("--seconds", type=int, default=4, help="of one cell")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    best, loads = {}, []
    for _ in range(options.rounds):
        for name, command in servers(options.ours, options.peers):
            loads.append(os.getloadavg()[0])
            for count, cell in measure(command, options.connections, options.seconds).items():
                known = best.setdefault(name, {}).get(count)
                if known is None or cell["cpu_us"] < known["cpu_us"]:
                    best[name][count] = cell
    ours = best["azureml-scorer"]
    for name, cells in best.items():
        for count, cell in cells.items():
            ratio = cell["cpu_us"] / ours[count]["cpu_us"]
            print(
                f"{name:32} c{count:<3} {cell['rps']:>9.0f} rps  cpu {cell['cpu_us']:>7.1f} us ({ratio:5.2f} x ours)"
                f"  p50 {cell['p50']} p99 {cell['p99']} {cell['errors'] or ''}"
            )
    print(f"load average before the cells: {min(loads):.1f} to {max(loads):.1f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"results": best, "load": loads}, file, indent=1)


if __name__ == "__main__":
    main()
