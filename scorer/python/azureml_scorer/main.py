"""Starts the server: the Rust core on its IO thread, user code on this one."""

import faulthandler
import logging
import os
import signal
import sys
import tempfile

from azureml_scorer import __version__, _bridge, aml_response, banner, imports, logs, settings as settings_module, swagger
from azureml_scorer._core import Core
from azureml_scorer.script import LoadError, Script
from azureml_scorer.settings import SettingsError

_log = logging.getLogger("azmlinfsrv")


def main():
    settings = begin()
    banner.write(settings)
    banner.log_notes(settings)
    # The core drains on Ctrl-C. Its handler calls the one that it finds, so Python's must not be there.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace = tempfile.NamedTemporaryFile("w", prefix="azmlinfsrv-init-", suffix=".trace")
    try:
        core = Core(
            host="0.0.0.0",
            port=settings.port,
            listen_fd=settings.listen_fd,
            control_fd=settings.control_fd,
            init_timeout=settings.init_timeout,
            trace_path=trace.name,
            script=os.path.basename(settings.entry_script),
            scoring_timeout_ms=settings.scoring_timeout_ms,
            max_body=settings.max_body,
            server_version=f"azmlinfsrv/{__version__}",
            grace_ms=settings.grace_ms if settings.worker_count == 1 else None,
        )
    except OSError as error:
        _log.error("%s", error)
        sys.exit(3)
    if settings.worker_count > 1:
        os.environ["AZUREML_INIT_TRACE"] = trace.name
        code = core.serve_pool(sys.executable, settings.worker_count)
        core.flush()
        sys.exit(code)
    _bridge.prepare()
    try:
        script = load(settings, trace)
    except LoadError as error:
        _log.error("%s\n%s", error, error.trace or "")
        core.failed(error.reason, str(error), error.trace)
        sys.exit(3)
    core.ready(swagger.documents(script.run, settings))
    trace.close()
    _log.info("Serving %s", settings.entry_script)
    while (request := core.next()) is not None:
        status, headers, body, failed, run_ms = _bridge.answer(
            script,
            False,
            request.method,
            request.query,
            request.headers,
            request.text,
            request.request_id,
            request.seconds_left,
            request.timeout_ms,
        )
        request.reply(status, headers, body, failed, run_ms)
        _bridge.finish(script)
    core.flush()


def begin(arguments=None):
    """Reads the settings and prepares this process for user code; ends it when a setting cannot be used."""
    try:
        settings = settings_module.read(arguments)
        logs.install(settings)
        if settings.debug_port:
            from azureml_scorer import debugger

            debugger.connect(settings.debug_port)
    except SettingsError as error:
        sys.stderr.write(f"===============Configuration Error=================\n{error}\n===================================================\n")
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
