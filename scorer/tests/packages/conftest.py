"""Fixtures that start servers side by side."""

import pytest
from side_by_side import ORIGINAL, OURS, Pair, Server


@pytest.fixture
def serve(tmp_path):
    """Starts servers with a script: ``serve("ours" | "original" | "beside", script, files, **environment)``.

    ``beside`` is ours in the environment that has the original server and ``inference_schema`` installed.
    """
    servers = []

    def serve_one(kind, script, files=None, *, wait=True, **environment):
        directory = tmp_path / f"{kind}-{len(servers)}"
        directory.mkdir()
        (directory / "score.py").write_text(script)
        for name, content in (files or {}).items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content)
        module = "azureml_inference_server_http" if kind == "original" else "azureml_scorer"
        python = OURS if kind == "ours" else ORIGINAL
        server = Server(kind, [python, "-m", module], directory, environment)
        servers.append(server)
        if wait:
            server.wait()
        return server

    yield serve_one
    for server in servers:
        server.close()


@pytest.fixture
def pair(serve):
    """Starts both servers with a script; ``beside=True`` starts ours in both environments."""

    def start(script, files=None, *, beside=False, **environment):
        kinds = ("original", "ours", "beside") if beside else ("original", "ours")
        servers = [serve(kind, script, files, wait=False, **environment) for kind in kinds]
        for server in servers:
            server.wait()
        return Pair(*servers)

    return start
