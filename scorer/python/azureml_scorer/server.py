"""The server: the Rust core, and user code on this thread."""

import faulthandler
import logging
import os
import signal
import sys

from azureml_scorer import aml_response, banner, deadline, imports, logs, settings as settings_module, start, swagger, v2
from azureml_scorer._core import Core
from azureml_scorer.script import LoadError, Script
from azureml_scorer.settings import SettingsError

_log = logging.getLogger("azmlinfsrv")


def run(settings, listeners, grpc, ready=None):
    """Serves on these listening sockets until the end; calls ``ready`` when user code cannot keep it from that any more."""
    prepare(settings, settings.worker_count == 1)
    banner.write(settings)
    # The core drains on Ctrl-C. Its handler calls the one that it finds, so Python's must not be there.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace, trace_path = _trace()
    try:
        core = _core(settings, listeners, grpc, trace_path)
    except ValueError as error:
        start.give_up(error, 3)
    banner.log_notes(settings)
    ready = ready or (lambda: None)
    if settings.worker_count > 1:
        # Only its workers run user code.
        ready()
        code = _serve_pool(core, settings, trace_path)
    else:
        code = _serve(core, settings, trace, ready)
    core.flush()
    sys.exit(code)


def _core(settings, listeners, grpc, trace_path):
    pooled = settings.worker_count > 1
    return Core(
        listen_fds=listeners,
        control_fd=settings.control_fd,
        init_timeout=settings.init_timeout,
        trace_path=trace_path,
        script=os.path.basename(settings.entry_script),
        scoring_timeout_ms=settings.scoring_timeout_ms,
        max_body=settings.max_body,
        max_requests=settings.max_requests,
        server_version=banner.SERVER if settings.version_header else None,
        grace_ms=None if pooled else settings.grace_ms,
        memory=None if pooled else settings.memory,
        strict=settings.strict,
        cors=list(settings.cors),
        grpc_fd=grpc,
        hop_secret_file=settings.hop_secret_file or None,
    )


def _serve_pool(core, settings, trace_path):
    os.environ["AZUREML_INIT_TRACE"] = trace_path
    return core.serve_pool(
        sys.executable,
        settings.worker_count,
        preload=settings.worker_preload,
        memory=settings.memory,
        processes=settings.worker_processes,
    )


def _serve(core, settings, trace, ready):
    deadline.prepare()
    try:
        script = load(settings, trace)
        documents = swagger.documents(script.run, settings)
    except LoadError as error:
        _log.error("%s\n%s", error, error.trace or "")
        core.failed(error.reason, str(error), error.trace)
        return 3
    core.ready(documents, v2=v2.documents(script), raw=script.raw)
    ready()
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


def _trace():
    """A file for the stack of an ``init()`` that does not return, and its path, which worker processes can open, too. It
    is memory where the system has that: nothing is left of a process that is killed."""
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("azmlinfsrv-init"), "w")
        return file, f"/proc/{os.getpid()}/fd/{file.fileno()}"
    import tempfile

    file = tempfile.NamedTemporaryFile("w", prefix="azmlinfsrv-init-", suffix=".trace")
    return file, file.name


def prepare(settings, runs_script):
    """Makes this process ready for user code, which it runs itself or leaves to workers."""
    try:
        # First: a logging.json may name modules of the original.
        imports.install()
        logs.install(settings)
        if settings.debug_port and runs_script:
            from azureml_scorer import debugger

            debugger.connect(settings.debug_port)
    except SettingsError as error:
        start.give_up(error, error.code)
    aml_response.split_values = settings.strict
    if settings.version_header:
        os.environ["HTTP_X_MS_SERVER_VERSION"] = banner.SERVER
    # At the end, as in the original: a file of the script must not stand in for a module of Python's.
    sys.path += settings_module.search_paths(settings)


def load(settings, trace):
    """Loads the script and runs ``init()``, whose stack lands in ``trace`` when it does not return in time."""
    faulthandler.dump_traceback_later(settings.init_timeout, file=trace)
    try:
        return Script(settings)
    finally:
        faulthandler.cancel_dump_traceback_later()
