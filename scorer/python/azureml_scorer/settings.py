"""One table of settings: flag over environment over configuration file over default.

Every setting has one name, which is the environment variable and the key in the configuration file.
"""

import os
import sys
from collections import namedtuple
from types import SimpleNamespace


class SettingsError(Exception):
    """A setting that cannot be used. ``code`` is the original's exit code: 1 for the command line, 3 for the rest."""

    def __init__(self, message, code=3):
        super().__init__(message)
        self.code = code


def _positive(text):
    value = int(text)
    if value < 1:
        raise ValueError(f"{text} is not positive")
    return value


def _port(text):
    value = int(text)
    if not 1 <= value <= 65535:
        raise ValueError(f"{text} is not a port (1 to 65535)")
    return value


def _true(text):
    """Whether the text is ``true``; as in the original, any other text means no."""
    return text.lower() == "true"


_LEVELS = {"CRITICAL": 50, "FATAL": 50, "ERROR": 40, "WARNING": 30, "WARN": 30, "INFO": 20, "DEBUG": 10, "NOTSET": 0}


def _level(text):
    value = int(text) if text.isdigit() else _LEVELS.get(text.upper())
    if value is None:
        raise ValueError(f"{text} is none of {', '.join(_LEVELS)} and no number")
    return value


def _one_of(*choices):
    def parse(text):
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


def _origins(text):
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        # The original's CORS package takes such a text for a regular expression.
        if origin != "*" and any(character in "*\\]?$^[()" for character in origin):
            raise ValueError(f"the origin {origin!r} is a pattern; list the origins themselves, or allow all with *")
    return origins


Setting = namedtuple("Setting", "name attribute parse default flag help")
Setting.__new__.__defaults__ = (None, None, None)

_RUN = "that run requests (default 1)"
# A default of None means: not set. The flags are the original's.
TABLE = (
    Setting("AML_APP_ROOT", "app_root", str),
    Setting("AZUREML_SOURCE_DIRECTORY", "source_directory", str, ""),
    Setting("AZUREML_ENTRY_SCRIPT", "entry_script", str, "", "entry_script", "path of the score script, relative to AML_APP_ROOT if not a flag"),
    Setting("AZUREML_MODEL_DIR", "model_dir", str, None, "model_dir", "directory of the models, as the script sees it"),
    Setting("SERVICE_NAME", "service_name", str, "ML service"),
    Setting("SERVICE_VERSION", "service_version", str, "1.0"),
    Setting("SERVICE_PATH_PREFIX", "service_path_prefix", str, ""),
    Setting("SCORING_TIMEOUT_MS", "scoring_timeout_ms", _positive, 3_600_000),
    Setting("WORKER_COUNT", "worker_count", _positive, 1, "worker_count", f"processes {_RUN}"),
    Setting("WORKER_TIMEOUT", "worker_timeout", _positive),
    Setting("WORKER_PRELOAD", "worker_preload", _true, False),
    Setting("SEPERATE_HEALTH_ENDPOINT", "separate_health", _true, False),
    Setting("SERVER_VERSION_LOG_RESPONSE_ENABLED", "version_header", _true, True),
    Setting("AML_CORS_ORIGINS", "cors", _origins, (), "access_control_allow_origins", "origins that browsers may call from, separated by commas, or *"),
    Setting("AZUREML_LOG_LEVEL", "log_level", _level, 20),
    Setting("AZUREML_DEBUG_PORT", "debug_port", _port),
    Setting("AML_APP_INSIGHTS_ENABLED", "app_insights", _true, False),
    Setting("AML_APP_INSIGHTS_KEY", "app_insights_key", str, None, "appinsights_instrumentation_key", "accepted; no telemetry is sent"),
    Setting("AZUREML_GRPC_PORT", "grpc_port", _port),
    Setting("AZUREML_COMPAT", "compat", _one_of("", "strict"), ""),
    Setting("AZUREML_NAN", "nan", _one_of("error", "null"), None),
    Setting("AZUREML_GRPC_PORT", "grpc_port", _port),
    Setting("AZUREML_MAX_BODY_BYTES", "max_body", _positive, 100 * 1024 * 1024),
    Setting("AZUREML_MAX_REQUESTS", "max_requests", _positive, 1000),
    Setting("AZUREML_WORKER_MEMORY_BYTES", "memory", _positive),
    Setting("AZUREML_WORKER_MAX_PROCESSES", "worker_processes", _positive),
    Setting("AZUREML_INIT_TIMEOUT_SECONDS", "init_timeout", _positive, 86_400),
    Setting("AZUREML_TIMEOUT_GRACE_MS", "grace_ms", _positive, 10_000),
)

# Given by the process that starts this one, not by a file.
_INHERITED = (
    Setting("AZUREML_LISTEN_FD", "listen_fd", int),
    Setting("AZUREML_CONTROL_FD", "control_fd", int),
    Setting("AZUREML_HOP_SECRET_FILE", "hop_secret_file", str),
)

# Known keys that others read: telemetry, which this server does not send, and data collection.
_ELSEWHERE = ("AZUREML_COLLECT_URI", "AZUREML_COLLECT_QUEUE_BYTES", "AZUREML_COLLECT_CLOSE_SECONDS", "AZUREML_MODEL_NAME", "WORKSPACE_NAME", "HOSTNAME", "APP_INSIGHTS_LOG_RESPONSE_ENABLED", "AML_MDC_STORAGE_ENABLED", "AZUREML_TERMINATION_LOG")
_ELSEWHERE_PREFIX = "AML_MODEL_DC_"

# What the original says that it reads from the file and does not.
_IGNORED_BY_THE_ORIGINAL = ("AML_CORS_ORIGINS", "AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY", "AML_APP_ROOT", "AML_MDC_STORAGE_ENABLED")

_PORTS = {"port": 5001, "health_port": 5000}


def read(arguments=None):
    """The settings as a namespace; sets the environment variables that user code and worker processes read."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Most servers are started without flags, and the parser takes a tenth of their start.
    flags = _parse(arguments) if arguments else {}
    if flags.get("config_file"):
        os.environ["AZUREML_CONFIG_FILE"] = os.path.realpath(flags["config_file"])
    if flags.get("entry_script"):
        flags["entry_script"] = os.path.realpath(flags["entry_script"])
    if flags.get("appinsights_instrumentation_key") is not None:
        os.environ["AML_APP_INSIGHTS_ENABLED"] = "true"
    for setting in TABLE:
        if flags.get(setting.flag) is not None:
            os.environ[setting.name] = flags[setting.flag]
    strict = os.environ.get("AZUREML_COMPAT") == "strict"
    settings = SimpleNamespace(notes=[])
    settings.config_file = _take_file(strict, settings.notes)
    for setting in TABLE + _INHERITED:
        setattr(settings, setting.attribute, _value(setting))
    settings.strict = settings.compat == "strict"
    settings.nan = settings.nan or ("bare" if settings.strict else "error")
    if not settings.entry_script and not settings.config_file:
        raise SettingsError("give the score script with --entry_script or AZUREML_ENTRY_SCRIPT, or a configuration file with --config_file", 1)
    _derive(settings, flags)
    return settings


def _derive(settings, flags):
    """What follows from several settings, and the variables that the original shows to user code."""
    settings.app_root = os.path.abspath(settings.app_root or os.getcwd())
    # As in the original, the variable SERVER_PORT never sets the port.
    settings.port = int(flags.get("port") or _PORTS["port"])
    settings.health_port = int(flags.get("health_port") or _PORTS["health_port"]) if settings.separate_health else None
    key = settings.app_insights_key
    settings.app_insights_key_valid = key is not None and _is_uuid(key)
    settings.app_insights_asked = settings.app_insights
    settings.app_insights = settings.app_insights and settings.app_insights_key_valid
    shown = {
        "AML_APP_ROOT": settings.app_root,
        "SERVER_PORT": settings.port,
        "HEALTH_PORT": settings.health_port or settings.port,
        "WORKER_COUNT": settings.worker_count,
        "AML_APP_INSIGHTS_ENABLED": "true" if settings.app_insights else "false",
    }
    for name, value in shown.items():
        os.environ[name] = str(value)


def _is_uuid(text):
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and not set("".join(parts)) - set("0123456789abcdefABCDEF")


def _value(setting):
    text = os.environ.get(setting.name)
    # An empty variable means no more than an absent one, but for texts.
    if text is None or (not text and setting.parse is not str):
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as error:
        raise SettingsError(f"{setting.name}: {error} (environment variable: {setting.name})") from None


def _take_file(strict, notes):
    """Reads the configuration file into the environment, where variables that are set stand; gives its path."""
    given = os.environ.get("AZUREML_CONFIG_FILE")
    script = os.environ.get("AZUREML_ENTRY_SCRIPT")
    places = [given] if given else []
    places.append(os.path.join(os.environ.get("AML_APP_ROOT") or os.getcwd(), "config.json"))
    if script:
        places.append(os.path.join(os.path.dirname(os.path.abspath(script)), "config.json"))
    for path in places:
        if os.path.isfile(path) and os.path.getsize(path):
            break
    else:
        if given and not strict:
            raise SettingsError(f"AZUREML_CONFIG_FILE: {given} is not a file, or empty")
        return None
    found = _load(path)
    known = {setting.name for setting in TABLE}.union(_ELSEWHERE)
    unknown = [name for name in found if name not in known and not name.startswith(_ELSEWHERE_PREFIX)]
    for name, value in found.items():
        if name not in unknown and not isinstance(value, (str, type(None))):
            raise SettingsError(f"{path}: {name} must be a text, a number, true or false")
    if unknown and len(unknown) == len(found) and path != given and not strict:
        # A model's or a workspace's own config.json, which happens to lie there.
        notes.append(f"{path} has no setting of this server and is not used")
        return None
    if unknown and strict:
        notes.append(f"Found extra keys in the config file that are not supported by the server.\nExtra keys = {unknown}")
    elif unknown:
        raise SettingsError(f"{path}: there is no setting {', '.join(unknown)}; settings are {', '.join(sorted(known))}")
    for name, text in found.items():
        if name in unknown or strict and (name in _IGNORED_BY_THE_ORIGINAL or name.startswith(_ELSEWHERE_PREFIX)):
            continue
        if text is not None:
            os.environ.setdefault(name, text)
    return path


def _load(path):
    """The keys of a configuration file; numbers and truth values as an environment variable would hold them."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"Invalid config file! {path}: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"Invalid config file! {path}: expected a JSON object with settings by name")
    values = {}
    for name, value in found.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (int, float)):
            value = str(value)
        values[name] = value
    return values


def _parse(arguments):
    """Flags by name, as text."""
    import argparse

    def checked(parse):
        def check(text):
            try:
                parse(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None
            return text

        return check

    def formatter(prog):
        # Without a width, argparse imports `shutil` to ask the terminal, which holds a megabyte for good.
        return argparse.HelpFormatter(prog, width=110)

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            # The original's exit code for bad flags, after its help.
            self.print_help(sys.stderr)
            self.exit(1, f"\n{self.prog}: error: {message}\n")

    about = "Serves an Azure Machine Learning v1 score script over HTTP."
    parser = Parser(prog="azmlinfsrv", description=about, formatter_class=formatter)
    for setting in TABLE:
        if setting.flag:
            parser.add_argument(f"--{setting.flag}", type=checked(setting.parse), help=f"{setting.help} [{setting.name}]")
    parser.add_argument("--port", type=checked(_port), help="TCP port to listen on (default 5001)")
    parser.add_argument("--health_port", type=checked(_port), help="second port, if SEPERATE_HEALTH_ENDPOINT is true (default 5000)")
    parser.add_argument("--config_file", help="JSON file with settings by the names in brackets [AZUREML_CONFIG_FILE]")
    parser.add_argument("--rest", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="print the version of the server, and end")
    flags = vars(parser.parse_args(arguments))
    if flags.pop("version"):
        from azureml_scorer.banner import SERVER

        sys.stdout.write(f"{SERVER}\n")
        sys.exit(0)
    return flags


def search_paths(settings):
    """What the original puts on ``sys.path``: the app root, and the source directory below it."""
    paths = [settings.app_root]
    if settings.source_directory:
        paths.append(os.path.join(settings.app_root, settings.source_directory))
    return paths
