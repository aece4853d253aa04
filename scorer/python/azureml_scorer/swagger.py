"""Swagger documents of a score script without schema decorators."""

import json
import os

_VERSIONS = {"2": {"swagger": "2.0"}, "3": {"openapi": "3.0.3"}, "3.1": {"openapi": "3.1.0"}}
_ANY = {"type": "object", "example": {}}


def documents():
    """The documents by version, as JSON text."""
    return {version: json.dumps(_document(version)) for version in _VERSIONS}


def _document(version):
    prefix = os.environ.get("SERVICE_PATH_PREFIX", "")
    prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    name = os.environ.get("SERVICE_NAME", "ML service")
    info = {"title": name, "description": f"API specification for the Azure Machine Learning service {name}"}
    info["version"] = os.environ.get("SERVICE_VERSION", "1.0")
    schemas = {
        "ServiceInput": _ANY,
        "ServiceOutput": _ANY,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    bearer = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
    paths = {
        f"{prefix}/": {"get": _operation("ServiceHealthCheck", "Simple health check endpoint", version, text=True)},
        f"{prefix}/score": {"post": _operation("RunMLService", "Run web service's model and get the prediction output", version, scored=True)},
        f"{prefix}/swagger.json": {"get": _operation("GetSwaggerJson", "Return the Swagger document", version)},
    }
    if version == "2":
        body = {"schemes": ["https"], "consumes": ["application/json"], "produces": ["application/json"]}
        body |= {"securityDefinitions": {"Bearer": bearer}, "paths": paths, "definitions": schemas}
    else:
        body = {"components": {"securitySchemes": {"Bearer": bearer}, "schemas": schemas}, "paths": paths}
    return {**_VERSIONS[version], "info": info, **body}


def _operation(identifier, description, version, *, text=False, scored=False):
    root = "#/definitions/" if version == "2" else "#/components/schemas/"

    def content(schema, kind="application/json"):
        return {"schema": schema} if version == "2" else {"content": {kind: {"schema": schema}}}

    schema = {"type": "string"} if text else {"$ref": f"{root}ServiceOutput"} if scored else {"type": "object"}
    kind = "text/plain" if text else "application/json"
    operation = {"operationId": identifier, "description": description}
    if text and version == "2":
        operation["produces"] = ["text/plain"]
    if scored:
        operation["security"] = [{"Bearer": []}]
        reference = {"$ref": f"{root}ServiceInput"}
        if version == "2":
            operation["parameters"] = [{"name": "serviceInputPayload", "in": "body", "required": True, "schema": reference}]
        else:
            operation["requestBody"] = {"required": True, **content(reference)}
    error = {"description": "Error", **content({"$ref": f"{root}ErrorResponse"})}
    operation["responses"] = {"200": {"description": "Success", **content(schema, kind)}, "default": error}
    return operation
