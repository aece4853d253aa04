"""Log lines in the original's form, with the id of the request that user code runs for.

Everything that this process writes goes through the core, which never waits for whoever reads standard output.
"""

import builtins
import logging
import os
import sys
import time

from azureml_scorer import _core

FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"
# Longest text without line end that is kept back, in characters.
_LONGEST = 64 * 1024

_emit_code = logging.StreamHandler.emit.__code__


class AMLLogFormatter(logging.Formatter):
    """The original's formatter, which a ``logging.json`` may name; ``%(request_id)s`` is ours."""

    converter = time.gmtime

    def __init__(self, fmt=FORMAT, datefmt=None, style="%"):
        super().__init__(fmt=fmt, datefmt=datefmt, style=style)

    def format(self, record):
        record.request_id = _core.request_id()
        return super().format(record)


class RootAccessFilter(logging.Filter):
    """Drops the lines about health probes, which this server does not write anyway."""

    def filter(self, record):
        return "GET / HTTP/1.1" not in record.getMessage()


class _Formatter(AMLLogFormatter):
    """The default form: the request's id before the message."""

    def __init__(self):
        super().__init__("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(request)s%(message)s")

    def format(self, record):
        request_id = _core.request_id()
        record.request = f"[{request_id}] " if request_id else ""
        return super().format(record)


class _Output(logging.Handler):
    """Hands whole records to the core."""

    def emit(self, record):
        try:
            _core.write_log(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


class Direct:
    """A text stream whose writes reach standard output as they are."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, original):
        self._original = original

    def write(self, text):
        _core.write_log(text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def isatty(self):
        return False

    def __getattr__(self, name):
        return getattr(self._original, name)


class Prints(Direct):
    """Stands for ``sys.stdout`` or ``sys.stderr``: whole lines become log records."""

    def __init__(self, original, level):
        super().__init__(original)
        self._level = level
        self._pending = ""
        self._logger = logging.getLogger("azmlinfsrv.print")

    def write(self, text):
        # A handler of the script's own has formatted its line already.
        if sys._getframe(1).f_code is _emit_code:
            return super().write(text)
        if "\n" not in text:
            self._pending += text
            if len(self._pending) > _LONGEST:
                self.flush()
            elif text:
                _core.unfinished_print()
            return len(text)
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._logger.log(self._level, "%s", line)
        if self._pending:
            _core.unfinished_print()
        return len(text)

    def flush(self):
        if self._pending:
            line, self._pending = self._pending, ""
            self._logger.log(self._level, "%s", line)


def _print(*objects, sep=" ", end="\n", file=None, flush=False):
    """``print`` that writes a line at once, so that threads do not mix theirs."""
    target = sys.stdout if file is None else file
    if isinstance(target, Prints) and end == "\n":
        target.write((" " if sep is None else sep).join(map(str, objects)) + "\n")
    else:
        _original_print(*objects, sep=sep, end=end, file=file, flush=flush)


_original_print = builtins.print
_basic_config = logging.basicConfig


def _configure_root(**options):
    """``logging.basicConfig`` of the script: it may choose a level or handlers of its own, as in the original."""
    root = logging.getLogger()
    if any(name in options for name in ("stream", "filename", "handlers", "format")):
        for handler in [handler for handler in root.handlers if isinstance(handler, _Output)]:
            root.removeHandler(handler)
        _basic_config(**options)
    elif options.get("level") is not None:
        root.setLevel(options["level"])


def flush_prints():
    """Writes what was printed without a line end."""
    sys.stdout.flush()
    sys.stderr.flush()


def install(settings):
    """Routes log records, prints and raw writes to the log. A ``logging.json`` beside the script replaces our form."""
    sys.stdout, sys.stderr = Direct(sys.stdout), Direct(sys.stderr)
    handler = _Output()
    handler.setFormatter(_Formatter())
    own, root = logging.getLogger("azmlinfsrv"), logging.getLogger()
    own.addHandler(handler)
    own.setLevel(settings.log_level)
    # A handler of the script's on the root logger must not see prints: it may print them itself.
    own.propagate = False
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    logging.basicConfig = _configure_root
    loaded = _load(settings)
    builtins.print = _print
    sys.stdout, sys.stderr = Prints(sys.stdout, logging.INFO), Prints(sys.stderr, logging.ERROR)
    if loaded:
        own.info("Loaded logging config from %s", loaded)


def _load(settings):
    """Applies the first ``logging.json`` of the app root and the script's folder; gives its path."""
    folders = [settings.app_root]
    if settings.entry_script:
        folders.append(os.path.dirname(os.path.realpath(os.path.join(settings.app_root, settings.entry_script))))
    for folder in folders:
        path = os.path.join(folder, "logging.json")
        if os.path.isfile(path):
            break
    else:
        return None
    import json
    import logging.config

    from azureml_scorer.settings import SettingsError

    try:
        with open(path, encoding="utf-8") as file:
            wanted = json.load(file)
        logging.config.dictConfig(wanted)
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise SettingsError(f"Invalid config file! {path}: {error}") from None
    # The file need not name our loggers: those that it leaves alone keep their form.
    logging.getLogger().disabled = False
    for name in list(logging.root.manager.loggerDict):
        if name == "azmlinfsrv" or name.startswith("azmlinfsrv."):
            logging.getLogger(name).disabled = False
    return path
