"""Inference server for Azure Machine Learning v1 score scripts."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("azureml-scorer")
except PackageNotFoundError:  # run from a source tree
    __version__ = "0"
