"""The names that a request may use, as the OpenAPI document lists them.

An unknown name is a misspelt one: it is refused with the name that was probably meant.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError

from domain.suggestions import nearest, spelt_alike

Json = dict[str, Any]

_SHORT_LIST = 12
"""How many names an error may list when none is similar."""


def require_known_query(request: Request) -> None:
    """Refuse query parameters that the route does not have.

    Only for requests of clients: agents and LiveKit may be of a newer version, and health checks
    may add parameters of their own.

    Raises:
        RequestValidationError: naming each of them.
    """
    operation = _operation(request)
    if operation is None:
        return
    known, with_entries = _query_names(operation), _names_with_entries(operation)
    unknown = [
        name
        for name in dict.fromkeys(request.query_params)
        if name not in known and _name_of(name) not in with_entries
    ]
    if unknown:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": ""} for name in unknown]
        )


def cure_of_unknown_name(request: Request, location: Sequence[str | int]) -> str:
    """What to send instead of an unknown name: the one that was probably meant."""
    part_of_request, *place, given = location
    operation = _operation(request) or {}
    inner: list[str] = []
    if part_of_request == "body":
        components = cast(FastAPI, request.app).openapi()["components"]["schemas"]
        objects = _objects_at(place, _body_schema(operation), components)
        names = [name for one in objects for name in one["properties"]]
        inner = list(_names_inside(objects, components))
    else:
        given = _name_of(str(given))
        names = sorted(_query_names(operation))
    return _cure(str(given), list(dict.fromkeys(names)), inner)


def _cure(given: str, names: list[str], inner: list[str]) -> str:
    last_parts = {name.rpartition(".")[2]: name for name in reversed(inner)}
    elsewhere = spelt_alike(given, last_parts)
    if same := spelt_alike(given, names):
        return f"did you mean `{same}`?"
    if elsewhere:
        return f"did you mean `{last_parts[elsewhere]}`?"
    if near := nearest(given, names):
        return f"did you mean `{near}`?"
    if not names:
        return "leave it out: there are none here"
    if len(names) <= _SHORT_LIST:
        return f"leave it out, or use one of: {', '.join(names)}"
    return "correct the name, or leave it out"


def _operation(request: Request) -> Json | None:
    """The operation of the request in the OpenAPI document, unless it is left out there."""
    path = getattr(request.scope.get("route"), "path", "")
    paths: Json = cast(FastAPI, request.app).openapi()["paths"]
    return paths.get(path, {}).get(request.method.lower())


def _query_names(operation: Json) -> set[str]:
    parameters: list[Json] = operation.get("parameters", [])
    return {one["name"] for one in parameters if one["in"] == "query"}


def _names_with_entries(operation: Json) -> set[str]:
    parameters: list[Json] = operation.get("parameters", [])
    return {one["name"] for one in parameters if one.get("style") == "deepObject"}


def _name_of(parameter: str) -> str:
    """`metadata` of `metadata[order]`, the form of a parameter with entries."""
    name, bracket, rest = parameter.partition("[")
    return name if bracket and rest.endswith("]") else parameter


def _body_schema(operation: Json) -> Json:
    content: Json = operation.get("requestBody", {}).get("content", {})
    return next((kind["schema"] for kind in content.values()), Json())


def _objects_at(location: Sequence[str | int], body: Json, components: Json) -> list[Json]:
    """The schemas of the objects that may be at a location in a body."""
    found = [body]
    for part in location:
        # Pydantic also names union alternatives, which are not part of the body.
        found = list(_inside(_alternatives(found, components), part)) or found
    return [one for one in _alternatives(found, components) if "properties" in one]


def _inside(schemas: Iterable[Json], part: str | int) -> Iterator[Json]:
    for schema in schemas:
        if isinstance(part, int):
            found = schema.get("items")
        else:
            found = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
        if isinstance(found, dict):
            yield cast(Json, found)


def _alternatives(schemas: Iterable[Json], components: Json) -> Iterator[Json]:
    for schema in schemas:
        if reference := schema.get("$ref"):
            yield from _alternatives([components[reference.rpartition("/")[2]]], components)
            continue
        yield schema
        for combined in ("anyOf", "oneOf", "allOf"):
            yield from _alternatives(schema.get(combined, ()), components)


def _names_inside(objects: Iterable[Json], components: Json) -> Iterator[str]:
    """The fields of the objects inside these, as `limits.max_duration`."""
    for schema in objects:
        for name, field in schema["properties"].items():
            for inside in _alternatives([field], components):
                yield from (f"{name}.{inner}" for inner in inside.get("properties", ()))
