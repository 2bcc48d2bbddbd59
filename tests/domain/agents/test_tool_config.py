"""Schemas and URLs of tools: what a call could not work with is refused beforehand."""

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError
from referencing import Registry

from domain.agents.schema_references import MAX_DEPTH
from domain.agents.tool_config import HttpUrl, ParameterSchema

JSON = dict[str, Any]
TEXT: JSON = {"type": "string"}


def schema(**fields: Any) -> JSON:
    return {"type": "object", **fields}


def arguments(reference: str, **defs: JSON) -> JSON:
    return schema(properties={"a": {"$ref": reference}}, **{"$defs": defs})


def chain(length: int) -> dict[str, JSON]:
    links: dict[str, JSON] = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(length)}
    return {**links, f"d{length}": TEXT}


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        (schema(**{"$ref": "#"}), "has a cycle"),
        (schema(allOf=[{"$ref": "#"}]), "has a cycle"),
        (schema(**{"if": {"not": {"$ref": "#"}}}), "has a cycle"),
        (arguments("#/$defs/a", a={"$ref": "#/$defs/b"}, b={"$ref": "#/$defs/a"}), "has a cycle"),
        (schema(**{"$defs": {"unused": {"$ref": "#/$defs/unused"}}}), "has a cycle"),
        (arguments("#/$defs/b", a=TEXT), "points nowhere"),
        (arguments("#b", a=TEXT), "points nowhere"),
        (arguments("#/properties/a/no/such"), "points nowhere"),
        (schema(title="x", properties={"a": {"$ref": "#/title"}}), "no schema"),
        (schema(properties={"type": TEXT, "a": {"$ref": "#/properties"}}), "no schema"),
        (arguments("#/$defs/d0", **chain(MAX_DEPTH * 10)), "more than"),
        (
            schema(
                properties={"a": {"$ref": "#/parts/a"}},
                parts={"a": {"properties": {"b": {"$ref": "https://example.com/b.json"}}}},
            ),
            "own parts only",
        ),
    ],
)
def test_a_schema_that_no_argument_can_be_checked_by_is_refused(parameters: JSON, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(ParameterSchema).validate_python(parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        arguments("#/$defs/a", a=TEXT),
        arguments("#here", a={**TEXT, "$anchor": "here"}),
        arguments("#/$defs/d0", **chain(10)),
        schema(properties={"a": TEXT, "answers": {"items": {"$ref": "#"}}}),
        schema(anyOf=[{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], **{"$defs": {"a": {}}}),
        {"$id": "https://shop.test/arguments", **arguments("#/$defs/a", a=TEXT)},
        schema(
            properties={
                "a": {"$id": "urn:part", "$ref": "#/$defs/b", "$defs": {"b": TEXT}},
            }
        ),
    ],
)
def test_a_schema_may_refer_to_its_parts_and_hold_itself(parameters: JSON) -> None:
    assert TypeAdapter(ParameterSchema).validate_python(parameters) == parameters

    validator = Draft202012Validator(parameters, registry=Registry())
    given: JSON = {"a": "text", "answers": [{"a": "x", "answers": []}]}
    # Its stub leaves the types of further parameters open.
    assert validator.is_valid(given)  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/x",
        "http://[]/x",
        "http://[v1.x]/x",
        "http://shop.test:port/x",
        "http://shop.test:99999/x",
        "http://shop.test:0/x",
        "http://:80/x",
        "http://shop test/x",
        "http://shop%20test/x",
        "http://shop.test/a\nb",
        "http://shop.test/a\x00b",
        "http://shop.test\t/x",
        "\x7fhttp://shop.test/x",
    ],
)
def test_a_url_that_no_request_can_be_made_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"must|has"):
        TypeAdapter(HttpUrl).validate_python(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.test",
        "https://shop.test:8443/orders?id=1#top",
        "http://[2001:db8::1]:8443/x",
        "http://192.0.2.1/x y/ö",
        "https://bücher.test/x",
        "HTTPS://shop.test/{{ first name }}?q={{q}}",
    ],
)
def test_a_url_that_requests_can_be_made_to_is_taken(url: str) -> None:
    assert TypeAdapter(HttpUrl).validate_python(url) == url
    assert httpx.Request("GET", url).url.host
