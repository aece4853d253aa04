"""Inference server for Azure Machine Learning v1 score scripts."""

from azureml_scorer._core import __version__
from azureml_scorer.batch import batch

__all__ = ["__version__", "batch"]
