"""What all parameter types have in common; scripts derive their own from it."""

from abc import ABC, abstractmethod


class AbstractParameterType(ABC):
    """A type that is declared by a sample value."""

    def __init__(self, sample_input):
        self.sample_input = sample_input
        self.sample_data_type = type(sample_input)

    @abstractmethod
    def deserialize_input(self, input_data):
        """Converts parsed JSON to the type."""

    @abstractmethod
    def input_to_swagger(self):
        """The schema of the type, with the sample as its ``example``."""

    def supported_versions(self):
        """The versions of Swagger that can express the schema."""
        versions = ["3.0", "3.1"]
        return ["2.0", *versions] if _uniform(self.input_to_swagger()["example"]) else versions


def _uniform(example):
    """Whether arrays have items of one type, as Swagger 2 demands."""
    if type(example) is list and example:
        first = type(example[0])
        return all(type(item) is first and (first is not list or _uniform(item)) for item in example)
    if type(example) is dict:
        return all(_uniform(value) for value in example.values())
    return True
