"""What user code finds in the thread that runs it."""

import os
import signal

from azureml_scorer import _core


class ScoringTimeout(BaseException):
    """Raised in user code by the deadline; not an ``Exception``, so that a broad ``except`` lets it through."""


def _stop(_signal, _frame):
    if _core.overdue():
        raise ScoringTimeout


def prepare():
    """The deadline raises in user code, Ctrl-C is the server's, and a child that user code forks does not serve."""
    signal.signal(signal.SIGALRM, _stop)
    os.register_at_fork(after_in_child=_core.forked)
