"""The parts that a Swagger document is put together from."""

_BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
_SECURED = [{"Bearer": []}]
_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
_TEXT = {"type": "string"}
_JSON = "application/json"


def document(version, *, name, release, prefix, service_input, service_output):
    """A whole document. ``service_input`` and ``service_output`` are schemas."""
    old = version == "2"
    info = {
        "title": name,
        "description": f"API specification for the Azure Machine Learning service {name}",
        "version": release,
    }
    paths = {
        f"{prefix}/": {"get": _health(old)},
        f"{prefix}/score": {"post": _score(old)},
        f"{prefix}/swagger.json": {"get": _swagger(old)},
    }
    schemas = {"ServiceInput": service_input, "ServiceOutput": service_output, "ErrorResponse": _ERROR}
    if old:
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": [_JSON],
            "produces": [_JSON],
            "securityDefinitions": {"Bearer": _BEARER},
            "paths": paths,
            "definitions": schemas,
        }
    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": info,
        "security": _SECURED,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": _BEARER}},
    }


def _health(old):
    said = "If service is up and running, this response will be returned with the content 'Healthy'"
    if old:
        success = {"description": said, "schema": _TEXT, "examples": {_JSON: "Healthy"}}
    else:
        success = _answer(old, said, {**_TEXT, "example": "Healthy"}, "text/plain")
    about = "Simple health check endpoint to ensure the service is up at any given point."
    return {"operationId": "ServiceHealthCheck", "description": about, "responses": _responses(old, success)}


def _score(old):
    payload = "The input payload for executing the real-time machine learning service."
    if old:
        body = {
            "name": "serviceInputPayload",
            "in": "body",
            "description": payload,
            "schema": _reference(old, "ServiceInput"),
        }
        taken = {"parameters": [body]}
    else:
        taken = {"requestBody": _answer(old, payload, _reference(old, "ServiceInput"))}
    said = "The service processed the input correctly and provided a result prediction, if applicable."
    return {
        "operationId": "RunMLService",
        "description": "Run web service's model and get the prediction output",
        "security": _SECURED,
        **taken,
        "responses": _responses(old, _answer(old, said, _reference(old, "ServiceOutput"))),
    }


def _swagger(old):
    kind = {"type": "integer", "enum": [2, 3]}
    parameter = {"name": "version", "in": "query", "required": False, **(kind if old else {"schema": kind})}
    return {
        "operationId": "GetSwaggerSpec",
        "description": "Get the Swagger specification.",
        "parameters": [parameter],
        "responses": _responses(old, _answer(old, "The Swagger specification.", _TEXT, "text/plain")),
    }


def _responses(old, success):
    failure = _answer(old, "The service failed to execute due to an error.", _reference(old, "ErrorResponse"))
    return {"200": success, "default": failure}


def _answer(old, description, schema, media=_JSON):
    """A described body. Version 2 has one media type for the whole document."""
    content = {"schema": schema} if old else {"content": {media: {"schema": schema}}}
    return {"description": description, **content}


def _reference(old, name):
    return {"$ref": f"#/definitions/{name}" if old else f"#/components/schemas/{name}"}
