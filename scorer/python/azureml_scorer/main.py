"""Starts the server: the Rust core on its IO thread, user code on this one."""

import faulthandler
import logging
import os
import signal
import sys
import tempfile

from azureml_scorer import __version__, imports, logs, settings as settings_module, swagger, v2
from azureml_scorer._core import Core
from azureml_scorer.script import LoadError, Script, prepare

_log = logging.getLogger("azmlinfsrv")


def main():
    settings = settings_module.read()
    logs.install(settings.log_level)
    imports.install()
    sys.path[:0] = settings_module.search_paths(settings)
    # The core drains on Ctrl-C. Its handler calls the one that it finds, so Python's must not be there.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace = tempfile.NamedTemporaryFile("w", prefix="azmlinfsrv-init-", suffix=".trace")
    core = Core(
        listen_fds=_listeners(settings),
        control_fd=settings.control_fd,
        init_timeout=settings.init_timeout,
        trace_path=trace.name,
        script=os.path.basename(settings.entry_script),
        scoring_timeout_ms=settings.scoring_timeout_ms,
        max_body=settings.max_body,
        server_version=f"azmlinfsrv/{__version__}",
        grace_ms=settings.grace_ms if settings.worker_count == 1 else None,
        strict=False,
        cors=[],
        grpc_fd=_grpc_listener(settings),
    )
    if settings.worker_count > 1:
        os.environ["AZUREML_INIT_TRACE"] = trace.name
        code = core.serve_pool(sys.executable, settings.worker_count)
        core.flush()
        sys.exit(code)
    prepare()
    try:
        script = load(settings, trace)
    except LoadError as error:
        _log.error("%s\n%s", error, error.trace or "")
        core.failed(error.reason, str(error), error.trace)
        sys.exit(3)
    core.ready(swagger.documents(), v2=v2.documents(script))
    trace.close()
    _log.info("Serving %s", settings.entry_script)
    core.serve(script)
    core.flush()


def _listeners(settings):
    """Numbers of the listening sockets: the supervisor's, or our own."""
    if settings.listen_fd is not None:
        return [settings.listen_fd]
    return [_listener(settings.port)]


def _grpc_listener(settings):
    """Number of the listening socket for gRPC, where that is wanted."""
    return _listener(settings.grpc_port) if settings.grpc_port else None


def _listener(port):
    import socket

    try:
        return socket.create_server(("0.0.0.0", port), backlog=1024).detach()
    except OSError as error:
        _log.error("cannot listen on 0.0.0.0:%d: %s", port, error)
        sys.exit(3)


def load(settings, trace):
    """Loads the script and runs ``init()``, whose stack lands in ``trace`` when it does not return in time."""
    faulthandler.dump_traceback_later(settings.init_timeout, file=trace)
    try:
        return Script(settings.app_root, settings.entry_script)
    finally:
        faulthandler.cancel_dump_traceback_later()
