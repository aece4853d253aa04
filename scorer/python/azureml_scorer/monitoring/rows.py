"""Tabular data of any kind that users have, as rows of cells.

numpy, pandas and Spark are never imported: data of theirs can only come from a script that did.
"""

import csv
import io
import sys


class NotTabular(TypeError):
    """The data has no rows."""


class Table:
    """Rows, with the names of their columns where these are known."""

    __slots__ = ("columns", "rows", "_frame")

    def __init__(self, lines, columns=None, frame=None):
        self.rows = lines
        self.columns = columns
        self._frame = frame

    def text(self):
        """All rows as lines of CSV; a frame writes itself, as it writes its own files."""
        if self._frame is None:
            return text(self.rows)
        return self._frame.to_csv(index=False, header=False)


class _Lines:
    """A frame's rows one by one; missing values are empty cells, as in the files that pandas writes."""

    def __init__(self, frame):
        self._frame = frame

    def __len__(self):
        return len(self._frame)

    def __iter__(self):
        present = self._frame.notna().to_numpy()
        for row, known in zip(self._frame.itertuples(index=False, name=None), present):
            yield [cell if there else "" for cell, there in zip(row, known)]


def _is(data, module, name):
    known = sys.modules.get(module)
    kind = getattr(known, name, None)
    return kind is not None and isinstance(data, kind)


def pandas_frame(data):
    """``data`` as a pandas DataFrame if it is one of pandas or Spark, else None."""
    if _is(data, "pandas", "DataFrame"):
        return data
    if _is(data, "pyspark.sql", "DataFrame"):
        return data.toPandas()
    return None


def is_array(data):
    return _is(data, "numpy", "ndarray")


def nested(data):
    """A list of lists is a table; a list of anything else is one row."""
    return bool(data) and all(isinstance(row, (list, tuple)) for row in data)


def table(data):
    """``data`` as a Table; NotTabular for what has no rows and columns."""
    frame = pandas_frame(data)
    if frame is not None:
        return Table(_Lines(frame), [str(column) for column in frame.columns], frame)
    if is_array(data):
        if data.ndim == 1:
            return Table([data])
        if data.ndim != 2:
            raise NotTabular(f"an array of {data.ndim} dimensions is not a table; 1 or 2 are")
        return Table(data)
    if isinstance(data, (list, tuple)):
        return Table(list(data) if nested(data) else [data])
    raise NotTabular(f"{type(data).__name__} is not a list, numpy array, pandas DataFrame or Spark DataFrame")


def text(rows):
    """Rows as lines of CSV."""
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def cell(value):
    """A cell as text, for use in a path."""
    return "" if value is None else str(value)
