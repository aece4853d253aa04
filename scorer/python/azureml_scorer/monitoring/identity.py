"""Who collects: workspace, service, model and version, from the deployment's map of models and its environment."""

import json
import logging
import os

_log = logging.getLogger("azmlinfsrv")

_NAME = "model_config_map.json"
_ROOT = "/var/azureml-app"


def _read():
    for folder in (os.environ.get("AML_APP_ROOT"), _ROOT):
        path = os.path.join(folder or _ROOT, _NAME)
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            _log.warning("Data collection: %s cannot be read (%s); names come from the collector's arguments", path, error)
            return {}
        return found if isinstance(found, dict) else {}
    return {}


def _number(version):
    try:
        return int(version)
    except ValueError:
        return -1


def _part(mapping, name):
    found = mapping.get(name) if isinstance(mapping, dict) else None
    return found if isinstance(found, dict) else {}


class Identity:
    """The names that a collector's rows and paths carry."""

    def __init__(self, model_name, workspace, webservice_name, model_version):
        self._map = _read()
        self.model_name = model_name
        self.workspace = workspace.lower()
        if workspace == "default/default/default":
            account = _part(self._map, "accountContext")
            names = [account.get(name) for name in ("subscriptionId", "resourceGroupName", "accountName")]
            if all(names):
                self.workspace = "/".join(names).lower()
        self.model_version = model_version
        versions = _part(_part(self._map, "modelsInfo"), model_name)
        if model_version == "default" and versions:
            self.model_version = max(versions, key=_number)
        self.service_name = webservice_name
        if webservice_name == "default":
            self.service_name = os.environ.get("SERVICE_NAME") or webservice_name

    def root(self, workspace, service, model, version):
        """Segments of the folder of a model's rows."""
        info = _part(_part(_part(self._map, "modelsInfo"), model), str(version))
        storage = info.get("dataCollectorStoragePath")
        if isinstance(storage, str) and storage.strip("/"):
            # A URL's account and container are the target's to say.
            path = storage.replace("{webservice_name}", service)
            if "://" in path:
                path = path.split("://", 1)[1].partition("/")[2]
            segments = [segment for segment in path.split("/") if segment]
            return segments[1:] if segments[0] == "modeldata" else segments
        return [*workspace.split("/"), service, model, str(version)]


def segment(name):
    """A name as one segment of a path: a row's own cells choose its folder, and must not leave the tree."""
    safe = "".join("_" if letter in '/\\:*?"<>|' or ord(letter) < 32 or ord(letter) == 127 else letter for letter in name)
    safe = safe.strip()[:200]
    return safe if safe.strip(".") else "_" * max(len(safe), 1)
