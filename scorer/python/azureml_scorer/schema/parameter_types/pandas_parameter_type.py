"""Parameters that are pandas data frames."""

import json
import warnings
from io import StringIO

import pandas as pd

from azureml_scorer.schema.errors import UNREADABLE, SchemaViolation, brief, expected
from azureml_scorer.schema.parameter_types import _pandas_places
from azureml_scorer.schema.parameter_types._describe import describe_array, describe_object
from azureml_scorer.schema.parameter_types.abstract_parameter_type import AbstractParameterType

_ORIENTS = ("split", "records", "index", "columns", "values", "table")


class PandasParameterType(AbstractParameterType):
    """A pandas data frame, in JSON by one of pandas' orients.

    With ``enforce_column_type`` columns get the sample's types, with ``enforce_shape`` there must be as many columns
    as in the sample. ``apply_column_names`` (deprecated) renames the columns to the sample's, by position.
    """

    def __init__(
        self,
        sample_input,
        enforce_column_type=True,
        enforce_shape=True,
        apply_column_names=False,
        orient="records",
    ):
        if not isinstance(sample_input, pd.DataFrame):
            raise TypeError(f"PandasParameterType: the sample must be a DataFrame, not {type(sample_input).__name__}")
        if orient not in _ORIENTS:
            raise ValueError(f"PandasParameterType: orient must be one of {', '.join(_ORIENTS)}, not {orient!r}")
        if apply_column_names:
            warnings.warn(
                "apply_column_names is deprecated: send the columns with their names", DeprecationWarning, stacklevel=2
            )
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient
        self._types = sample_input.dtypes.to_dict()

    def deserialize_input(self, input_data):
        """A data frame of the objects or arrays."""
        if isinstance(input_data, pd.DataFrame):
            return input_data
        if not isinstance(input_data, (list, dict)):
            raise expected(list if self.orient in ("records", "values") else dict, input_data)
        try:
            # pandas' own reading of JSON decides on dates and on the types of labels.
            frame = pd.read_json(StringIO(json.dumps(input_data)), orient=self.orient, dtype=False)
        except UNREADABLE as error:
            raise SchemaViolation(f"is no data frame of orient {self.orient!r}: {brief(error)}") from error
        try:
            if self.apply_column_names:
                frame.columns = self.sample_input.columns.copy()
            if self.enforce_column_type:
                frame = self._typed(frame)
        except UNREADABLE as error:
            raise _pandas_places.offence(frame, self._types, self.orient, input_data, error) from error
        if self.enforce_shape and frame.shape[1] != self.sample_input.shape[1]:
            raise self._other_columns(frame)
        return frame

    def _typed(self, frame):
        types = {name: self._types.get(name, object) for name in frame.columns}
        for name, wanted in types.items():
            if _pandas_places.is_span(wanted):
                frame[name] = pd.to_timedelta(frame[name])
        return frame.astype(dtype=types)

    def _other_columns(self, frame):
        wanted, got = list(self.sample_input.columns), list(frame.columns)
        text = f"expected {len(wanted)} columns, got {len(got)}"
        missing = [str(name) for name in wanted if name not in got]
        unknown = [str(name) for name in got if name not in wanted]
        if missing and self.orient != "values":
            text += f"; missing: {', '.join(missing)}"
        if unknown and self.orient != "values":
            text += f"; not known: {', '.join(unknown)}"
        return SchemaViolation(text if len(text) <= 500 else f"{text[:500]}...")

    def input_to_swagger(self):
        """The schema of the sample's JSON."""
        parsed = json.loads(self.sample_input.to_json(orient=self.orient, date_format="iso"))
        schema = describe_array(parsed) if self.orient in ("records", "values") else describe_object(parsed)
        for name, form in self._formats():
            for column in self._columns(schema, str(name)):
                column["format"] = form
        schema["format"] = f"pandas.DataFrame:{self.orient}"
        return schema

    def _formats(self):
        """Columns of dates and time spans, with the formats that say so."""
        for name in self.sample_input.columns:
            kind = str(self.sample_input.dtypes[name])
            if kind.startswith("datetime"):
                yield name, "date-time"
            elif kind.startswith("timedelta"):
                yield name, "timedelta"

    def _columns(self, schema, name):
        """The schemas of a column's values; arrays by position have none to name."""
        if self.orient == "records":
            rows = [schema["items"]]
        elif self.orient == "index":
            rows = schema["properties"].values()
        elif self.orient == "table":
            rows = [schema["properties"]["data"]["items"]]
        elif self.orient == "columns":
            return schema["properties"][name]["properties"].values()
        else:
            rows = []
        # Without rows there is nothing that could be formatted.
        return [row["properties"][name] for row in rows if "properties" in row]
