"""Connects to a debugger that waits on AZUREML_DEBUG_PORT."""

from azureml_scorer import _core
from azureml_scorer.settings import SettingsError


def connect(port):
    _core.write_log(
        "!! Starting the inference server in DEBUGGING mode because AZUREML_DEBUG_PORT is set.\n"
        "!! This environment variable should not be set in a production environment.\n"
    )
    try:
        import debugpy
    except ImportError:
        raise SettingsError("AZUREML_DEBUG_PORT: Cannot connect to a debugger because debugpy is not installed.") from None
    _core.write_log(f"** Connecting to debugger at port {port}...\n")
    try:
        debugpy.connect(port)
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"AZUREML_DEBUG_PORT: nothing that listens on port {port} is a debugger: {error}") from None
    debugpy.wait_for_client()
