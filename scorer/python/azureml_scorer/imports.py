"""The import paths that score scripts know, served by this package where no installed package has them.

A finder at the very end of ``sys.meta_path`` is asked only for what nobody else provides, so that installed packages
keep working whatever their form: a regular ``azureml`` package, one that extends its path, or the original server.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec

from azureml_scorer import __version__

# Import path: our module, or None for a package that only holds others.
_PATHS = {
    "azureml": None,
    "azureml.contrib": None,
    "azureml.contrib.services": None,
    "azureml.contrib.services.aml_request": "azureml_scorer.aml_request",
    "azureml.contrib.services.aml_response": "azureml_scorer.aml_response",
    "azureml_inference_server_http": None,
    "azureml_inference_server_http.api": None,
    "azureml_inference_server_http.api.aml_request": "azureml_scorer.aml_request",
    "azureml_inference_server_http.api.aml_response": "azureml_scorer.aml_response",
    "azureml_inference_server_http.log_config": "azureml_scorer.log_config",
}
# Whole packages of ours, with all their modules.
_TREES = {"inference_schema": "azureml_scorer.schema", "azureml.monitoring": "azureml_scorer.monitoring"}


class _Finder:
    """Finds what is in the table, and loads it: our module itself, under another name."""

    def find_spec(self, name, path=None, target=None):
        ours = _ours(name)
        if ours is None and name not in _PATHS:
            return None
        spec = ModuleSpec(name, self, origin=f"azureml_scorer ({ours})" if ours else "azureml_scorer", is_package=ours is None or _is_package(ours))
        spec.loader_state = ours
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        ours = module.__spec__.loader_state
        if ours is None:
            if module.__name__ == "azureml_inference_server_http":
                module.__version__ = __version__
            return
        real = importlib.import_module(ours)
        if hasattr(real, "__path__"):
            # Without a path of its own: what is below it must come from here too, or there were two of each module.
            vars(module).update((name, value) for name, value in vars(real).items() if not name.startswith("__"))
            return
        # The import system takes what it finds here in the end: one module under two names, so that classes and
        # flags are the same whichever path a script takes.
        sys.modules[module.__name__] = real


def _ours(name):
    """The name of our module for an import path; None if there is none."""
    if name in _PATHS:
        return _PATHS[name]
    for root, ours in _TREES.items():
        if name == root or name.startswith(f"{root}."):
            found = ours + name[len(root) :]
            try:
                return found if importlib.util.find_spec(found) is not None else None
            except ModuleNotFoundError:
                return None
    return None


def _is_package(ours):
    return importlib.util.find_spec(ours).submodule_search_locations is not None


def install():
    sys.meta_path.append(_Finder())
