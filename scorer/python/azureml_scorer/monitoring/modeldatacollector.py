"""``ModelDataCollector``: the original's interface, over the core's sink."""

import atexit
import datetime
import logging
import os
import uuid
import warnings

from azureml_scorer import _core
from azureml_scorer.monitoring import rows
from azureml_scorer.monitoring.identity import Identity, segment

_log = logging.getLogger("azmlinfsrv")

_DESIGNATIONS = ("inputs", "predictions", "labels", "signals", "general")
# Rows of these belong to inputs that were collected before, and go where those are.
_CORRELATED = ("predictions", "labels", "signals")
_NO_REQUEST = "00000000-0000-0000-0000-000000000000"
_HOUR, _DAY = 60, 60 * 24


def _flag(name):
    return os.environ.get(name, "").strip().lower() == "true"


def _request_id():
    return _core.request_id() or _NO_REQUEST


class ModelDataCollector:
    """Collects inputs, predictions, labels, signals or anything tabular of one model as CSV.

    Rows go to ``<root>/<subscription>/<group>/<workspace>/<webservice>/<model>/<version>/<designation>/<yyyy>/<mm>/<dd>/``
    (and ``<hh>/`` with ``AML_MODEL_DC_BOUNDARY=hour``), into ``<designation>.csv``, or ``<collection_name>.csv`` for
    ``signals`` and ``general``. Collecting never raises for what storage does, and never waits for it.
    """

    AML_DC_CORRELATION_HEADER = "$aml_dc_correlation_id"
    AML_DC_SCORING_TIMESTAMP_HEADER = "$aml_dc_scoring_timestamp"
    AML_DC_BOUNDARY_HEADER = "$aml_dc_boundary"
    AML_WORKSPACE_HEADER = "$aml_workspace"
    AML_SERVICE_NAME_HEADER = "$aml_service_name"
    AML_MODEL_NAME_HEADER = "$aml_model_name"
    AML_MODEL_VERSION_HEADER = "$aml_model_version"
    AML_REQUEST_ID_HEADER = "$aml_request_id"

    _HEADERS = (
        AML_DC_CORRELATION_HEADER,
        AML_DC_SCORING_TIMESTAMP_HEADER,
        AML_DC_BOUNDARY_HEADER,
        AML_WORKSPACE_HEADER,
        AML_SERVICE_NAME_HEADER,
        AML_MODEL_NAME_HEADER,
        AML_MODEL_VERSION_HEADER,
        AML_REQUEST_ID_HEADER,
    )

    def __init__(
        self,
        model_name,
        designation="default",
        feature_names=None,
        workspace="default/default/default",
        webservice_name="default",
        model_version="default",
        collection_name="default",
    ):
        self._designation = "general" if designation == "default" else designation
        self._feature_names = None if feature_names is None else [str(name) for name in feature_names]
        # On inputs from the start, on others from their first add_correlations().
        self._correlates = designation == "inputs"
        self._debug = _flag("AML_MODEL_DC_DEBUG")
        self._enabled = False
        if self._designation not in _DESIGNATIONS:
            _log.warning(
                "Data collection: the designation %r of model %r is none of 'default', %s; this collector does nothing",
                designation,
                model_name,
                ", ".join(map(repr, _DESIGNATIONS)),
            )
            self._debug = False
        else:
            self._enabled = _open(model_name)
        self._identity = identity = Identity(model_name, workspace, webservice_name, model_version)
        self.workspace = identity.workspace
        self.workspace_name = identity.workspace.rsplit("/", 1)[-1]
        self.model_name = model_name
        self.model_version = identity.model_version
        self.service_name = identity.service_name
        self.aml_dc_hour_boundary = os.environ.get("AML_MODEL_DC_BOUNDARY", "").strip().lower() == "hour"
        named = self._designation in ("signals", "general")
        self.filename = f"{collection_name if named else self._designation}.csv"
        prefix = os.environ.get("AML_MODEL_DC_FILE_PATH_PREFIX", "")
        self._prefix = [part for part in prefix.split("/") if part]

    def collect(self, input_data, user_correlation_id=""):
        """Takes rows to be written later; gives the correlations of ``inputs``, which predictions are joined by."""
        if not self._enabled and not self._debug:
            return None
        correlations = None
        try:
            if self._designation == "inputs":
                correlations = self._correlations(user_correlation_id)
                input_data = self.add_correlations(input_data, correlations)
            table = rows.table(input_data)
        except rows.NotTabular as error:
            warnings.warn(f"collect failed: {error}. Corresponding modules must be installed first.", stacklevel=2)
            return correlations
        columns = table.columns or self._columns()
        header = rows.text([columns]) if columns else ""
        for path, lines in self._by_file(table, columns).items():
            text = table.text() if lines is table.rows else rows.text(lines)
            if self._enabled:
                _core.collect(path, header, text, len(lines))
            if self._debug:
                print(header + text, end="")
        # As the original: only inputs have correlations to give.
        return correlations

    def add_correlations(self, input_data, correlations):
        """``input_data`` with the correlations of an earlier ``collect`` as further columns."""
        if correlations is None:
            return input_data
        self._correlates = True
        values = [correlations[name] for name in self._HEADERS]
        frame = rows.pandas_frame(input_data)
        if frame is not None:
            return frame.assign(**dict(zip(self._HEADERS, values)))
        if rows.is_array(input_data):
            # An array of more dimensions is left to collect(), which says why it takes none.
            return _widened(input_data, values) if input_data.ndim in (1, 2) else input_data
        if isinstance(input_data, (list, tuple)):
            if rows.nested(input_data):
                return [[*row, *values] for row in input_data]
            return [*input_data, *values]
        warnings.warn(
            f"collect failed: {type(input_data).__name__} is not a list, numpy array, pandas DataFrame or Spark DataFrame. "
            "Corresponding modules must be installed first.",
            stacklevel=2,
        )
        return input_data

    def _correlations(self, user_correlation_id):
        own = str(uuid.uuid4())
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        values = (
            f"{user_correlation_id}-{own}" if user_correlation_id else own,
            now.isoformat(),
            _HOUR if self.aml_dc_hour_boundary else _DAY,
            self.workspace,
            self.service_name,
            self.model_name,
            self.model_version,
            _request_id(),
        )
        return dict(zip(self._HEADERS, values))

    def _columns(self):
        if self._feature_names is None:
            return None
        return [*self._feature_names, *self._HEADERS] if self._correlates else self._feature_names

    def _by_file(self, table, columns):
        """Lines by the path of the file that they belong to."""
        now = datetime.datetime.now(datetime.timezone.utc)
        if self._designation not in _CORRELATED:
            boundary = _HOUR if self.aml_dc_hour_boundary else _DAY
            names = (self.workspace, self.service_name, self.model_name, str(self.model_version))
            return {self._path(names, now, boundary): table.rows}
        files = {}
        for line in table.rows:
            files.setdefault(self._path(*self._place(line, columns, now)), []).append(line)
        return files

    def _place(self, line, columns, now):
        """Names, time and boundary of a row: its own correlations, else the collector's."""
        found = {}
        if columns:
            found = {name: line[at] for at, name in enumerate(columns) if name in self._HEADERS and at < len(line)}
        elif self._correlates and len(line) >= len(self._HEADERS):
            found = dict(zip(self._HEADERS, line[-len(self._HEADERS) :]))

        def value(header, default):
            return rows.cell(found.get(header)) or default

        names = (
            value(self.AML_WORKSPACE_HEADER, self.workspace),
            value(self.AML_SERVICE_NAME_HEADER, self.service_name),
            value(self.AML_MODEL_NAME_HEADER, self.model_name),
            value(self.AML_MODEL_VERSION_HEADER, str(self.model_version)),
        )
        own = _HOUR if self.aml_dc_hour_boundary else _DAY
        # A column of numbers with gaps holds floats.
        boundary = _HOUR if value(self.AML_DC_BOUNDARY_HEADER, str(own)).split(".")[0] == str(_HOUR) else _DAY
        return names, _time(value(self.AML_DC_SCORING_TIMESTAMP_HEADER, "")) or now, boundary

    def _path(self, names, at, boundary):
        segments = [*self._prefix, *self._identity.root(*names), self._designation, f"{at:%Y}", f"{at:%m}", f"{at:%d}"]
        if boundary == _HOUR:
            segments.append(f"{at:%H}")
        return "/".join(segment(part) for part in [*segments, self.filename])


def _time(text):
    """A timestamp as the original writes it or as users may, in UTC; None if it is none."""
    for read in (datetime.datetime.fromisoformat, lambda text: datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f")):
        try:
            at = read(text)
        except ValueError:
            continue
        return at if at.tzinfo is None else at.astimezone(datetime.timezone.utc)
    return None


def _widened(array, values):
    """An array with the same values as further columns of each row; its own numpy does it."""
    import numpy

    lines = array.reshape(1, -1) if array.ndim == 1 else array
    return numpy.append(lines, numpy.repeat(numpy.array([values], dtype=object), lines.shape[0], axis=0), axis=1)


def _open(model_name):
    """Starts the core's sink; false where collection is switched off or cannot work. Scoring goes on in any case."""
    try:
        enabled = _core.collect_open()
    except ValueError as error:
        warnings.warn(f"{error}; nothing is collected for model {model_name!r}", stacklevel=3)
        return False
    if not enabled:
        _log.info(
            "Data collection is off for model %r: set AML_MODEL_DC_STORAGE_ENABLED to 'true', with a target in "
            "AZUREML_COLLECT_URI or AML_MODEL_DC_STORAGE, to collect",
            model_name,
        )
    return enabled


# What still waits when the process ends is written; servers and worker processes end through here as well.
atexit.register(_core.collect_close)
