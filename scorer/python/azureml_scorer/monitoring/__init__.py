"""Collects what goes into models and comes out of them, as ``azureml.monitoring`` does."""

from azureml_scorer.monitoring.modeldatacollector import ModelDataCollector

__all__ = ["ModelDataCollector"]
