"""Swagger documents of the score script, equal to those of the original server.

The user's own files come first; else a document is made from the schema decorators of ``run``, if it has any.
"""

import json
import logging
import os

from azureml_scorer import schema

_log = logging.getLogger("azmlinfsrv.swagger")

# Version: its names in inference_schema, and the files of the app root that replace its document, first one first.
_VERSIONS = {
    "2": (("2", "2.0"), ("swagger.json", "swagger2.json")),
    "3": (("3", "3.0"), ("swagger3.json",)),
    "3.1": (("3.1",), ("swagger3.1.json",)),
}
_ANY = {"type": "object", "example": {}}


def documents(run=None, settings=None):
    """The documents by version (``2``, ``3``, ``3.1``), as JSON text.

    To be called after ``init()``, which may write the user's files. Versions that cannot express the schema of
    ``run`` are left out. ``settings`` may carry ``app_root``, ``service_name``, ``service_version`` and
    ``service_path_prefix``; the environment stands in for what it lacks.
    """
    root = _setting(settings, "app_root", "AML_APP_ROOT", os.getcwd())
    util = schema.known_to(run) if run is not None else None
    expressible = util.get_supported_versions(run) if util else None
    found = {}
    for version, (names, files) in _VERSIONS.items():
        text = _own(root, files, version)
        if text is None and (expressible is None or any(name in expressible for name in names)):
            schemas = (util.get_input_schema(run), util.get_output_schema(run)) if util else (_ANY, _ANY)
            text = json.dumps(_document(version, settings, *schemas))
        if text is not None:
            found[version] = text
    skipped = [version for version in _VERSIONS if version not in found]
    if not found:
        _log.info("No swagger is prepared.")
    elif skipped:
        _log.info(
            "Swaggers are prepared for versions [%s] and skipped for versions [%s].",
            ", ".join(found),
            ", ".join(skipped),
        )
    else:
        _log.info("Swaggers are prepared for the following versions: [%s].", ", ".join(found))
    return found


def _setting(settings, name, variable, default):
    value = getattr(settings, name, None)
    return os.environ.get(variable, default) if value is None else value


def _own(root, files, version):
    """The text of the user's file for a version, as it stands."""
    for name in files:
        path = os.path.join(root, name)
        try:
            with open(path, encoding="utf-8-sig") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(f"{path}: the Swagger document cannot be read: {error}; repair or remove it") from error
        try:
            content = json.loads(text)
        except ValueError as error:
            raise _unusable(f"{path}: the Swagger document is not JSON: {error}; repair or remove it") from error
        # An empty object stands for no file.
        if content:
            _log.info("Loaded user's swagger file for version [%s] from %s", version, path)
            return text
    return None


def _document(version, settings, service_input, service_output):
    # Loaded when it is needed: files of the user's own may replace all of it.
    from azureml_scorer import swagger_parts

    prefix = _setting(settings, "service_path_prefix", "SERVICE_PATH_PREFIX", "").strip("/")
    return swagger_parts.document(
        version,
        name=_setting(settings, "service_name", "SERVICE_NAME", "ML service"),
        release=_setting(settings, "service_version", "SERVICE_VERSION", "1.0"),
        prefix=f"/{prefix}" if prefix else "",
        service_input=service_input,
        service_output=service_output,
    )


def _unusable(message):
    from azureml_scorer.loading import LoadError

    return LoadError("start_failed", message)
