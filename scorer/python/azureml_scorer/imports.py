"""The import paths that score scripts know, served by this package.

The modules exist only in ``sys.modules``, and only where no installed package provides them: a regular
``azureml`` package beside ours must keep working.
"""

import importlib.util
import sys
import types

from azureml_scorer import aml_response

_PATHS = (
    "azureml_inference_server_http.api.aml_response",
    "azureml.contrib.services.aml_response",
)


def _installed(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def install():
    for path in _PATHS:
        if _installed(path):
            continue
        parents = path.split(".")[:-1]
        for end in range(1, len(parents) + 1):
            name = ".".join(parents[:end])
            if name not in sys.modules and not _installed(name):
                package = types.ModuleType(name)
                package.__path__ = []
                sys.modules[name] = package
                if end > 1:
                    setattr(sys.modules[".".join(parents[: end - 1])], parents[end - 1], package)
        module = types.ModuleType(path)
        module.AMLResponse = aml_response.AMLResponse
        sys.modules[path] = module
        parent = sys.modules.get(".".join(parents))
        if parent is not None:
            parent.aml_response = module
