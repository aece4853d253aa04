"""Keeps a server alive where nobody else does: a process that only waits, and starts another server when one dies."""

import mmap
import os
import signal
import sys
import time

# Exit codes that mean that another start would end the same way: in order, bad flags, a script that cannot be served.
_FINAL = (0, 1, 3)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5
# A server that has lived for so many seconds did not die of its start.
_SOUND = 10


def keep_alive(settings):
    """Returns in a child, which is to serve, a function to call when it is ready. The calling process stays behind and
    ends as its last child does. One that dies before it is ready is the last: its next start would end the same way, and
    whoever runs containers or services knows how often to try, and shows why.

    Must be called before the process has threads. Listening sockets that are open stay with both.
    """
    child = 0
    ending = False

    def end(number, _frame):
        nonlocal ending
        ending = True
        if child:
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    pause = _FIRST_PAUSE
    # Memory of both processes; not 0 once the child is ready.
    ready = mmap.mmap(-1, 1)
    while True:
        # A signal between the fork and what follows it would meet the wrong handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        watched, kept = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(kept)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            from azureml_scorer import _core

            _core.die_with_parent(watched)
            return lambda: ready.write_byte(1)
        os.close(watched)
        started = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        code = _wait(child)
        child = 0
        os.close(kept)
        if ending or code in _FINAL:
            sys.exit(code if code >= 0 else 128 - code)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        if ready[0] == 0:
            _say(settings, f"The server process ended {how} before it was ready")
            sys.exit(code if code >= 0 else 128 - code)
        ready[0] = 0
        _say(settings, f"The server process ended {how} and is started again")
        pause = _FIRST_PAUSE if time.monotonic() - started > _SOUND else min(pause * 2, _LONGEST_PAUSE)
        time.sleep(pause)
        if ending:
            sys.exit(0)


def _say(settings, message):
    """Writes a line of the log, whose modules this process holds only from its first line on."""
    import logging

    from azureml_scorer import logs

    if not logging.root.handlers:
        logs.install(settings)
    logging.getLogger("azmlinfsrv").error("%s", message)


def _wait(child):
    """The exit code of the child, or minus the signal that ended it; as the first process of a container, this one also
    takes note of the ends of others' children."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)
