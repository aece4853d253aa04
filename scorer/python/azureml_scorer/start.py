"""Reads the settings, opens the sockets, and becomes the server. Little is imported here: one process of a server that
nobody else keeps alive stays in this module."""

import os
import sys

from azureml_scorer import settings as settings_module


def main():
    if sys.argv[1:] == ["fetch"]:
        from azureml_scorer import _core

        sys.exit(_core.fetch())
    settings = read()
    listeners, grpc = _listeners(settings), _listener(settings.grpc_port)
    ready = None
    if settings.listen_fd is None and not settings.debug_port:
        from azureml_scorer import master

        ready = master.keep_alive(settings)
    from azureml_scorer import server

    server.run(settings, listeners, grpc, ready)


def read(arguments=None):
    """The settings; ends the process when one cannot be used."""
    try:
        return settings_module.read(arguments)
    except settings_module.SettingsError as error:
        give_up(error, error.code)


def _listeners(settings):
    """Numbers of the listening sockets: the supervisor's, or our own."""
    if settings.listen_fd is not None:
        return [settings.listen_fd]
    listeners = [_listener(settings.port), _listener(settings.health_port)]
    return [listener for listener in listeners if listener is not None]


def _listener(port):
    """Number of a listening socket, if there is to be one."""
    if port is None:
        return None
    import socket

    try:
        return socket.create_server(("0.0.0.0", port), backlog=1024).detach()
    except OSError as error:
        give_up(f"cannot listen on 0.0.0.0:{port}: {error}", 3)


def give_up(why, code):
    """Ends a start that cannot succeed, and tells whoever started this process."""
    line = "==================================================="
    sys.__stderr__.write(f"===============Configuration Error=================\n{why}\n{line}\n")
    import json

    event = json.dumps({"event": "failed", "reason": "start_failed", "message": str(why), "traceback": None}) + "\n"
    try:
        if os.environ.get("AZUREML_CONTROL_FD"):
            os.write(int(os.environ["AZUREML_CONTROL_FD"]), event.encode())
        if os.environ.get("AZUREML_TERMINATION_LOG"):
            with open(os.environ["AZUREML_TERMINATION_LOG"], "w") as file:
                file.write(event[:4096])
    except (OSError, ValueError):
        # Standard error has it.
        pass
    sys.exit(code)
