"""Starts the server: the Rust core, and user code on this thread."""

import faulthandler
import logging
import os
import signal
import sys
import tempfile

from azureml_scorer import __version__, aml_response, banner, deadline, imports, logs, settings as settings_module, swagger
from azureml_scorer._core import Core
from azureml_scorer.script import LoadError, Script
from azureml_scorer.settings import SettingsError

_log = logging.getLogger("azmlinfsrv")


def main():
    settings = begin()
    banner.write(settings)
    listeners = _listeners(settings)
    if settings.listen_fd is None and not settings.debug_port:
        from azureml_scorer import master

        master.keep_alive()
    # The core drains on Ctrl-C. Its handler calls the one that it finds, so Python's must not be there.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace = tempfile.NamedTemporaryFile("w", prefix="azmlinfsrv-init-", suffix=".trace")
    pooled = settings.worker_count > 1
    core = Core(
        listen_fds=listeners,
        control_fd=settings.control_fd,
        init_timeout=settings.init_timeout,
        trace_path=trace.name,
        script=os.path.basename(settings.entry_script),
        scoring_timeout_ms=settings.scoring_timeout_ms,
        max_body=settings.max_body,
        max_requests=settings.max_requests,
        server_version=f"azmlinfsrv/{__version__}" if settings.version_header else None,
        grace_ms=None if pooled else settings.grace_ms,
        memory=None if pooled else settings.memory,
        strict=settings.strict,
        cors=list(settings.cors),
    )
    banner.log_notes(settings)
    code = _serve_pool(core, settings, trace) if pooled else _serve(core, settings, trace)
    core.flush()
    sys.exit(code)


def _serve_pool(core, settings, trace):
    os.environ["AZUREML_INIT_TRACE"] = trace.name
    return core.serve_pool(
        sys.executable,
        settings.worker_count,
        preload=settings.worker_preload,
        memory=settings.memory,
        processes=settings.worker_processes,
    )


def _serve(core, settings, trace):
    deadline.prepare()
    try:
        script = load(settings, trace)
        documents = swagger.documents(script.run, settings)
    except LoadError as error:
        _log.error("%s\n%s", error, error.trace or "")
        core.failed(error.reason, str(error), error.trace)
        return 3
    core.ready(documents, raw=script.raw)
    trace.close()
    _log.info("Serving %s", settings.entry_script)
    serve(core, script)
    return 0


def serve(source, script):
    """Answers the requests of a core or a worker until there will be no more."""
    if script.is_async:
        from azureml_scorer import aio

        aio.serve(source, script)
    else:
        source.serve(script, script.batch)


def _listeners(settings):
    """Numbers of the listening sockets: the supervisor's, or our own."""
    if settings.listen_fd is not None:
        return [settings.listen_fd]
    import socket

    descriptors = []
    for port in (settings.port, settings.health_port):
        try:
            if port is not None:
                descriptors.append(socket.create_server(("0.0.0.0", port), backlog=1024).detach())
        except OSError as error:
            _log.error("cannot listen on 0.0.0.0:%d: %s", port, error)
            sys.exit(3)
    return descriptors


def begin(arguments=None):
    """Reads the settings and prepares this process for user code; ends it when a setting cannot be used."""
    try:
        settings = settings_module.read(arguments)
        logs.install(settings)
        if settings.debug_port:
            from azureml_scorer import debugger

            debugger.connect(settings.debug_port)
    except SettingsError as error:
        line = "==================================================="
        sys.__stderr__.write(f"===============Configuration Error=================\n{error}\n{line}\n")
        sys.exit(error.code)
    aml_response.split_values = settings.strict
    imports.install()
    # At the end, as in the original: a file of the script must not stand in for a module of Python's.
    sys.path += settings_module.search_paths(settings)
    return settings


def load(settings, trace):
    """Loads the script and runs ``init()``, whose stack lands in ``trace`` when it does not return in time."""
    faulthandler.dump_traceback_later(settings.init_timeout, file=trace)
    try:
        return Script(settings)
    finally:
        faulthandler.cancel_dump_traceback_later()
