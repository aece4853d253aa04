"""Inference server for Azure Machine Learning v1 score scripts."""

from azureml_scorer.batch import batch

__all__ = ["__version__", "batch"]


def __getattr__(name):
    # The core knows its version; the process that keeps a server alive does not load it.
    if name == "__version__":
        from azureml_scorer._core import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
