"""Ports for servers."""

import contextlib
import random
import socket


def free_port():
    """Below those that the system gives to whoever connects, so that nobody has it before the server does."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
