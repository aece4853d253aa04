"""One table of settings: flag over environment over default."""

import argparse
import os


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _port(text):
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return value


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        # The original's exit code for bad flags.
        self.print_help()
        self.exit(1, f"\n{self.prog}: {message}\n")


def _number(name, default, check):
    text = os.environ.get(name, "")
    try:
        return check(text) if text else default
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise SystemExit(f"The environment variable {name} is {text!r}: {error}") from error


def read(arguments=None):
    """The settings as a namespace; sets the environment variables that user code reads."""
    parser = _Parser(prog="azmlinfsrv", description="Serves an Azure Machine Learning v1 score script over HTTP.")
    parser.add_argument("--entry_script", help="path of the score script; AZUREML_ENTRY_SCRIPT, relative to AML_APP_ROOT")
    parser.add_argument("--model_dir", help="directory of the models; becomes AZUREML_MODEL_DIR")
    parser.add_argument("--port", type=_port, default=5001, help="TCP port to listen on (default 5001)")
    parser.add_argument("--worker_count", type=_positive, help="processes that run requests; WORKER_COUNT (default 1)")
    settings = parser.parse_args(arguments)

    settings.app_root = os.path.abspath(os.environ.get("AML_APP_ROOT") or os.getcwd())
    os.environ["AML_APP_ROOT"] = settings.app_root
    if settings.entry_script:
        settings.entry_script = os.path.abspath(settings.entry_script)
        os.environ["AZUREML_ENTRY_SCRIPT"] = settings.entry_script
    else:
        settings.entry_script = os.environ.get("AZUREML_ENTRY_SCRIPT", "")
        if not settings.entry_script:
            parser.error("give --entry_script or set AZUREML_ENTRY_SCRIPT")
    if settings.model_dir:
        os.environ["AZUREML_MODEL_DIR"] = os.path.abspath(settings.model_dir)
    settings.source_directory = os.environ.get("AZUREML_SOURCE_DIRECTORY", "")
    settings.worker_count = settings.worker_count or _number("WORKER_COUNT", 1, _positive)
    settings.scoring_timeout_ms = _number("SCORING_TIMEOUT_MS", 3_600_000, _positive)
    settings.max_body = _number("AZUREML_MAX_BODY_BYTES", 100 * 1024 * 1024, _positive)
    settings.init_timeout = _number("AZUREML_INIT_TIMEOUT_SECONDS", 86_400, _positive)
    settings.grace_ms = _number("AZUREML_TIMEOUT_GRACE_MS", 10_000, _positive)
    settings.listen_fd = _number("AZUREML_LISTEN_FD", None, int)
    settings.grpc_port = _number("AZUREML_GRPC_PORT", None, _port)
    settings.control_fd = _number("AZUREML_CONTROL_FD", None, int)
    settings.log_level = os.environ.get("AZUREML_LOG_LEVEL", "INFO").upper()
    return settings


def search_paths(settings):
    """What the original puts on ``sys.path``: the app root, and the source directory below it."""
    paths = [settings.app_root]
    if settings.source_directory:
        paths.append(os.path.join(settings.app_root, settings.source_directory))
    return paths
