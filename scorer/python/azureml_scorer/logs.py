"""Log lines in the original's form, with the id of the request that user code runs for."""

import logging
import sys
import time

from azureml_scorer import _core


class _Formatter(logging.Formatter):
    converter = time.gmtime

    def __init__(self):
        super().__init__("%(asctime)s %(level)s [%(process)d] %(name)s - %(request)s%(message)s")

    def format(self, record):
        record.level = record.levelname[0]
        request_id = _core.request_id()
        record.request = f"[{request_id}] " if request_id else ""
        return super().format(record)


# Longest text without line end that is kept back, in characters.
_LONGEST = 64 * 1024


class _Prints:
    """Stands for ``sys.stdout`` or ``sys.stderr``: whole lines become log records."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, original, level):
        self._original = original
        self._level = level
        self._pending = ""
        self._logger = logging.getLogger("azmlinfsrv.print")

    def write(self, text):
        self._pending += text
        *lines, self._pending = self._pending.split("\n")
        for line in lines:
            self._logger.log(self._level, "%s", line)
        if len(self._pending) > _LONGEST:
            self.flush()
        if self._pending:
            _core.unfinished_print()
        return len(text)

    def flush(self):
        if self._pending:
            self.write("\n")

    def isatty(self):
        return False

    def __getattr__(self, name):
        return getattr(self._original, name)


class _Handler(logging.Handler):
    """Writes lines through the core, which never blocks."""

    def emit(self, record):
        try:
            _core.write_log(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def install(level):
    handler = _Handler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    sys.stdout = _Prints(sys.stdout, logging.INFO)
    sys.stderr = _Prints(sys.stderr, logging.ERROR)
