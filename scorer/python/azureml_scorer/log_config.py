"""What a ``logging.json`` written for the original may name."""

from azureml_scorer.logs import AMLLogFormatter, RootAccessFilter

__all__ = ["AMLLogFormatter", "RootAccessFilter"]
