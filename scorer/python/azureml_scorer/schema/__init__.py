"""The schema decorators that score scripts import as ``inference_schema``.

``azureml_scorer.imports`` serves the modules of this package under that name where it is not installed. Nothing is
imported here: most scripts have no schema.
"""

import sys

# An installed inference_schema comes first; ours answers to both names.
_NAMES = ("inference_schema.schema_util", "azureml_scorer.schema.schema_util")


def known_to(function):
    """The ``schema_util`` module, ours or the installed one, whose decorators ``function`` carries, else None."""
    for name in _NAMES:
        util = sys.modules.get(name)
        if util is not None and util.is_schema_decorated(function):
            return util
    return None
