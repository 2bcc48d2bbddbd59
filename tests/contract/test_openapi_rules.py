"""What holds for every operation of the OpenAPI document, also for the ones that come later."""

import re
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from api.app import create_app
from api.dependencies import ApiDependencies
from api.examples import WRITTEN
from api.openapi import TAGS
from api.problems import PROBLEM, STATUS_MEANING

Json = dict[str, Any]


@asynccontextmanager
async def _no_lifespan(app: FastAPI):
    yield


DOCUMENT: Json = create_app(cast(ApiDependencies, None), _no_lifespan, []).openapi()
OPERATIONS: dict[str, Json] = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
WITHOUT_A_KEY = {
    "GET /health",
    "GET /health/agent",
    "GET /config/tools",
    "GET /config/realtime-options",
    "GET /config/pipeline-options",
}
"""The seed's tables say of them: auth none."""


def resolve(schema: Json) -> Json:
    """A schema, or what it refers to."""
    reference = schema.get("$ref")
    return DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def has_example(content: Json) -> bool:
    """Whether a body is shown by an example: of its own, of its schema, or of each alternative."""
    schema = resolve(content["schema"])
    if "example" in content or "examples" in content or "examples" in schema:
        return True
    alternatives = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return bool(alternatives) and all(has_example({"schema": one}) for one in alternatives)


@pytest.fixture(params=sorted(OPERATIONS))
def name(request: pytest.FixtureRequest) -> str:
    """One operation after the other."""
    return request.param


def test_it_says_what_it_is(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"], "the docstring of its function"
    assert operation["tags"][0] in TAGS, "describe the tag in api/openapi.py"
    assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]+)+", operation["operationId"]), "verbAndNoun"


def test_it_says_who_may(name: str) -> None:
    assert (name in WITHOUT_A_KEY) == ("security" not in OPERATIONS[name])


def test_its_bodies_have_examples(name: str) -> None:
    operation = OPERATIONS[name]
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [one for status, one in operation["responses"].items() if status < "300"]
    for body in bodies:
        for media_type, content in body.get("content", {}).items():
            if media_type == "application/json":
                assert has_example(content), "add one to api/examples.py"


def test_its_errors_are_problems(name: str) -> None:
    responses = OPERATIONS[name]["responses"]
    for status, response in responses.items():
        assert "x-request-id" in response["headers"]
        if status < "400" or (name, status) == ("GET /health/agent", "503"):
            continue
        assert response["description"] == STATUS_MEANING[int(status)]
        [(media_type, content)] = response["content"].items()
        assert media_type == PROBLEM
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    needed = {"401", "500", "503"} if "security" in OPERATIONS[name] else set[str]()
    needed |= {"413", "422"} if "requestBody" in OPERATIONS[name] else set()
    needed |= {"404"} if "{" in name else set()
    assert needed <= responses.keys()


def test_its_parameters_are_explained_by_more_than_their_names(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", ()):
        kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
        assert {"type": "null"} not in kinds, "null cannot be sent"
        assert kinds[0].keys() & {"type", "enum", "$ref"}


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere() -> None:
    for reference in _references(DOCUMENT):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][kind], reference


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        pairs = cast(Json, node)
        found = {str(value) for key, value in pairs.items() if key == "$ref"}
        return found.union(*map(_references, pairs.values()))
    if isinstance(node, list):
        return set[str]().union(*map(_references, cast(list[Any], node)))
    return set()


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith(("api.", "domain.", "services.")):
            yield model
        yield from _models(model)


MODELS = {model.__name__: model for model in _models(BaseModel)}
SCHEMAS: Json = DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize("name", sorted(name for name in SCHEMAS if "examples" in SCHEMAS[name]))
def test_an_example_is_one(name: str) -> None:
    """By the model that reads or writes it, and by the schema that the document shows."""
    [example] = SCHEMAS[name]["examples"]
    MODELS[re.sub("-(Input|Output)$", "", name)].model_validate(example)
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    validator: Any = Draft202012Validator(schema)
    faults: list[str] = [fault.message for fault in validator.iter_errors(example)]
    if not name.endswith("-Input"):
        # What the API always sends may be left out of an example.
        faults = [fault for fault in faults if "is a required property" not in fault]
    assert faults == []


def test_every_written_example_is_used() -> None:
    assert WRITTEN.keys() <= SCHEMAS.keys(), "no operation uses it: leave it out of api/examples.py"


def test_every_tag_is_used() -> None:
    used = {operation["tags"][0] for operation in OPERATIONS.values()}
    assert used == TAGS.keys()
