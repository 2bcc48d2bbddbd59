"""The OpenAPI document: what FastAPI knows of the routes, and what only the whole API knows.

FastAPI describes bodies, parameters and good answers. The errors that every route of a kind can
give (a key is missing, a body is too large …) are derived here from what the route takes, so that a
new route has them by being there; what only one route can give it says itself: `problems(409)`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api.examples import example_of
from api.problems import PROBLEM, STATUS_MEANING, Problem
from api.routes.agents.masked_config import LOOKS_LIKE
from domain.agents.servers import Heartbeat

Json = dict[str, Any]

TAGS = {
    "session": "Sessions with the paths and field names of the seed service.",
    "sessions": "Sessions: start, watch, steer, end.",
    "transcripts": "What was said: turns, transcripts, their retention.",
    "agents": "Saved agents and their versions.",
    "config": "Catalogs of what a configuration can name. They need no key.",
    "keys": "API keys of this installation's own (`AUTH_PROVIDER=local`).",
    "webhooks": "Events sent to URLs of yours, signed.",
    "health": "Whether it works. Needs no key.",
    "agent callbacks": "What agent workers send; not for clients.",
    "livekit": "What LiveKit sends; not for clients.",
}
"""Every tag with what it holds, in the order of the document."""

REQUEST_ID: Json = {
    "description": "The request's id: yours if you sent one. The log has it too.",
    "schema": {"type": "string"},
}
RETRY_AFTER: Json = {
    "description": "Seconds after which the same request may work.",
    "schema": {"type": "integer", "minimum": 0},
}
_METHODS = ("get", "put", "post", "delete", "patch")


def operation_id(route: APIRoute) -> str:
    """The name of a route's function in camel case: what generated clients call it."""
    first, *further = route.name.split("_")
    return first + "".join(word.capitalize() for word in further)


def install(app: FastAPI) -> None:
    """Serve this document instead of FastAPI's own."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    # The documented way: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = document


def described(app: FastAPI) -> Json:
    """The whole document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        servers=app.servers,
        license_info=app.license_info,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    # Not read or answered through FastAPI, so that it does not know them.
    _, further = models_json_schema(
        [(Problem, "serialization"), (Heartbeat, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(further["$defs"])
    _refer(schemas)
    components["headers"] = {"RequestId": REQUEST_ID, "RetryAfter": RETRY_AFTER}
    for path, operation in operations(document):
        _describe(path, operation)
        if "requestBody" in operation:
            _any_of(operation["requestBody"])
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _sendable(parameter["schema"])
    _add_examples(document)
    return document


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Every operation with its path."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, item[method]


def _describe(path: str, operation: Json) -> None:
    responses: Json = operation["responses"]
    for status in _statuses(path, operation):
        responses.setdefault(str(status), {})
    # FastAPI's own description of 422 is of a body that is never sent.
    for status, response in responses.items():
        if status >= "400" and not response.get("x-not-a-problem"):
            headers = {} if status not in ("429", "503") else _header("Retry-After", "RetryAfter")
            responses[status] = {
                "description": STATUS_MEANING[int(status)],
                "headers": headers,
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        response = responses[status]
        response.pop("x-not-a-problem", None)
        response.setdefault("headers", {}).update(_header("x-request-id", "RequestId"))
    operation["responses"] = dict(sorted(responses.items()))


def _sendable(schema: Json) -> Json:
    """A parameter's schema without null: what is optional is left out, and null cannot be sent."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    further = {name: value for name, value in schema.items() if name != "anyOf"}
    # The parameter has the same description.
    further.pop("description", None)
    return {**kinds[0], **further}


def _any_of(body: Json) -> None:
    """What fits two forms of a body is taken as one of them, so that it is no error."""
    for content in body["content"].values():
        schema = content["schema"]
        if "oneOf" in schema and "discriminator" not in schema:
            schema["anyOf"] = schema.pop("oneOf")


def _header(name: str, component: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{component}"}}


def _statuses(path: str, operation: Json) -> Iterator[int]:
    """The errors that follow from what the operation takes."""
    schemes = {name for one in operation.get("security", ()) for name in one}
    if schemes:
        yield 401
        # What the route stands on, or whose key it is, cannot be read as it is stored, or is away.
        yield 500
        yield 503
    if schemes & {"ApiKey", "CallbackToken"}:
        yield 403
    if "ApiKey" in schemes:
        yield 429
    if "requestBody" in operation:
        yield 413
    if "requestBody" in operation or operation.get("parameters"):
        yield 422
    if "{" in path:
        yield 404


def _refer(part: Any) -> None:
    """Put references to the places of schemas that look like another one."""
    if isinstance(part, list):
        for one in cast(list[Any], part):
            _refer(one)
    elif isinstance(part, dict):
        schema = cast(Json, part)
        if like := schema.pop(LOOKS_LIKE, None):
            schema["$ref"] = f"#/components/schemas/{like}"
        for one in schema.values():
            _refer(one)


def _add_examples(document: Json) -> None:
    """Give an example to every object that an operation receives or answers, and to errors."""
    schemas = document["components"]["schemas"]
    bodies = re.findall(r"#/components/schemas/([\w-]+)", json.dumps(document["paths"]))
    for name in {*bodies, Heartbeat.__name__}:
        if "properties" in schemas[name]:
            schemas[name]["examples"] = [example_of(name, schemas)]
