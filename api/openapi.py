"""The OpenAPI document: FastAPI's own, completed with what holds for all routes.

FastAPI describes bodies, parameters and successful responses. The errors that follow from what a
route takes (a missing key, a body that is too large …) are added here, so a new route gets them
automatically. A route declares only errors of its own: `problems(409)`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api.examples import example_of
from api.problems import PROBLEM, STATUS_MEANING, Problem
from api.routes.agents.masked_config import LOOKS_LIKE
from domain.agents.servers import Heartbeat

Json = dict[str, Any]

PATH = "/openapi.json"
SCHEMAS = "#/components/schemas/"

TAGS = {
    "session": "Sessions with the paths and field names of the older LiveKit backend.",
    "sessions": "Sessions: start, follow, control, end.",
    "transcripts": "Turns and transcripts, and how long they are kept.",
    "agents": "Saved agents and their versions.",
    "config": "Catalogs of the models, voices and tools to configure. No key needed.",
    "keys": "API keys of this installation (`AUTH_PROVIDER=local`).",
    "webhooks": "Signed events, sent to your URLs.",
    "health": "Whether the service works. No key needed.",
    "agent callbacks": "Sent by agent workers; not for clients.",
    "livekit": "Sent by LiveKit; not for clients.",
}
"""Every tag with its description, in the order of the document."""

REQUEST_ID: Json = {
    "description": "The request's id, which is also in the log; yours if you sent one.",
    "schema": {"type": "string"},
}
RETRY_AFTER: Json = {
    "description": "Seconds after which the same request may work.",
    "schema": {"type": "integer", "minimum": 0},
}


def operation_id(route: APIRoute) -> str:
    """The name of a route's function in camel case, for generated clients."""
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
    written: list[bytes] = []

    async def show() -> Response:
        # Anybody may ask: all responses share the same bytes.
        if not written:
            written.append(json.dumps(document(), separators=(",", ":")).encode())
        return Response(written[0], media_type="application/json")

    app.get(PATH, include_in_schema=False)(show)


def _completed(generated: Json) -> Json:
    # Schemas that look like another one refer to it.
    text = json.dumps(generated).replace(f'"{LOOKS_LIKE}": "', f'"$ref": "{SCHEMAS}')
    document: Json = json.loads(text)
    schemas: Json = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        del schemas[name]
    # FastAPI does not know these: it neither reads nor writes them.
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
    # FastAPI describes 422 with a body that is never sent.
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
    """A parameter's schema without null: an optional parameter is left out, never null."""
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
        # A key or the data of the route cannot be read, or a dependency is unavailable.
        yield 500
        yield 503
    if schemes & {"ApiKey", "CallbackToken"}:
        yield 403
    if "ApiKey" in schemes:
        yield 429
    if "requestBody" in operation:
        yield 408
        yield 413
        yield 429
    if "requestBody" in operation or operation.get("parameters"):
        yield 422
    if "{" in path:
        yield 404


def _add_examples(document: Json) -> None:
    """Add an example to every object that an operation receives or returns, and to problems."""
    schemas = document["components"]["schemas"]
    bodies = re.findall(rf"{SCHEMAS}([\w-]+)", json.dumps(document["paths"]))
    for name in {*bodies, Heartbeat.__name__}:
        if "properties" in schemas[name]:
            schemas[name]["examples"] = [example_of(name, schemas)]
