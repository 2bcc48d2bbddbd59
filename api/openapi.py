"""The OpenAPI document: what FastAPI knows of the routes, and what only the whole API knows.

FastAPI describes bodies, parameters and good answers. The errors that every route of a kind can
give (a key is missing, a body is too large …) are derived here from what the route takes, so that a
new route has them by being there; what only one route can give it says itself: `problems(409)`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api.examples import example_of
from api.problems import PROBLEM, STATUS_MEANING, Problem
from api.routes.agents.masked_config import LOOKS_LIKE
from domain.agents.servers import Heartbeat

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"

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


def operation_id(route: APIRoute) -> str:
    """The name of a route's function in camel case: what generated clients call it."""
    first, *further = route.name.split("_")
    return first + "".join(word.capitalize() for word in further)


def install(app: FastAPI) -> None:
    """Complete FastAPI's own document before it is served."""
    generated = app.openapi

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generated())
        return app.openapi_schema

    # The documented way: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = document


def _completed(generated: Json) -> Json:
    # Schemas that look like another one refer to it.
    text = json.dumps(generated).replace(f'"{LOOKS_LIKE}": "', f'"$ref": "{SCHEMAS}')
    document: Json = json.loads(text)
    schemas: Json = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        del schemas[name]
    # Not read or answered through FastAPI, so that it does not know them.
    _, further = models_json_schema(
        [(Problem, "serialization"), (Heartbeat, "validation")], ref_template=SCHEMAS + "{model}"
    )
    schemas.update(further["$defs"])
    document["components"]["headers"] = {"RequestId": REQUEST_ID, "RetryAfter": RETRY_AFTER}
    for path, item in document["paths"].items():
        for operation in item.values():
            _describe(path, operation)
    _add_examples(document)
    return document


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
                "content": {PROBLEM: {"schema": {"$ref": f"{SCHEMAS}Problem"}}},
            }
        response = responses[status]
        response.pop("x-not-a-problem", None)
        response.setdefault("headers", {}).update(_header("x-request-id", "RequestId"))
    operation["responses"] = dict(sorted(responses.items()))
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _sendable(parameter["schema"])
    for content in operation.get("requestBody", {"content": {}})["content"].values():
        schema = content["schema"]
        # A body that matches two alternatives is read as one of them, so it is no error.
        if "oneOf" in schema and "discriminator" not in schema:
            schema["anyOf"] = schema.pop("oneOf")


def _sendable(schema: Json) -> Json:
    """A parameter's schema without null: what is optional is left out, and null cannot be sent."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    further = {name: value for name, value in schema.items() if name != "anyOf"}
    # The parameter has the same description.
    further.pop("description", None)
    return {**kinds[0], **further}


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


def _add_examples(document: Json) -> None:
    """Give an example to every object that an operation receives or answers, and to errors."""
    schemas = document["components"]["schemas"]
    bodies = re.findall(rf"{SCHEMAS}([\w-]+)", json.dumps(document["paths"]))
    for name in {*bodies, Heartbeat.__name__}:
        if "properties" in schemas[name]:
            schemas[name]["examples"] = [example_of(name, schemas)]
