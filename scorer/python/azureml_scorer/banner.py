"""What the server says of itself at its start, in the original's form."""

import logging

from azureml_scorer import __version__, _core

_log = logging.getLogger("azmlinfsrv")

# What the server calls itself.
SERVER = f"azmlinfsrv/{__version__}"


def write(settings):
    """The settings and routes, for people and for scripts that search the log."""
    lines = []
    if settings.model_dir is None:
        lines += ["The environment variable 'AZUREML_MODEL_DIR' has not been set.", "Use the --model_dir command line argument to set it."]
    lines += _insights(settings)
    lines += ["", f"Azure ML Inferencing HTTP server v{__version__}", "", "", "Server Settings", "---------------"]
    lines += [f"{name}: {value}" for name, value in _rows(settings)]
    if settings.listen_fd is None:
        health = settings.health_port or settings.port
        lines += ["", "", "Server Routes", "---------------"]
        lines += [f"Liveness Probe: GET   127.0.0.1:{health}/", f"Score:          POST  127.0.0.1:{settings.port}/score"]
    _core.write_log("\n".join(lines) + "\n\n")


def _rows(settings):
    port = settings.port if settings.listen_fd is None else "a socket of the starting process"
    return (
        ("Entry Script Name", settings.entry_script or "main.py"),
        ("Model Directory", settings.model_dir),
        ("Config File", settings.config_file),
        ("Worker Count", settings.worker_count),
        ("Worker Timeout (seconds)", settings.worker_timeout),
        ("Server Port", port),
        ("Health Port", settings.health_port or port),
        ("Application Insights Enabled", "true" if settings.app_insights else "false"),
        ("Application Insights Key", "AppInsights key provided" if settings.app_insights_key is not None else None),
        ("Inferencing HTTP server version", SERVER if settings.version_header else None),
        ("CORS for the specified origins", f"Enabling CORS for {', '.join(settings.cors)}" if settings.cors else None),
        ("Create dedicated endpoint for health", "true" if settings.health_port else None),
    )


def _insights(settings):
    if settings.app_insights_key is None or not settings.app_insights_asked:
        return []
    if settings.app_insights_key_valid:
        return ["Valid Application Insights instrumentation key provided."]
    return ["Invalid Application Insights instrumentation key provided.", "Application Insights has been disabled."]


def log_notes(settings):
    """Settings that are accepted and change less than one may think, once."""
    for note in settings.notes:
        _log.warning("%s", note)
    if settings.app_insights:
        _log.warning("This server sends nothing to Application Insights: the log and the metrics of the router hold what it would")
    if settings.worker_timeout is not None:
        _log.warning("WORKER_TIMEOUT has no effect: SCORING_TIMEOUT_MS, or the deadline of a request, is the one limit of a run()")
    if settings.cors:
        _log.info("Enabling CORS for the following origins: %s", ", ".join(settings.cors))
    _log.info("Scoring timeout is set to %s", settings.scoring_timeout_ms)
