"""Plans of analyses: a schema that could cost any time, or is none, is refused with its field."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.agents.config import AgentConfig

Schema = dict[str, Any]


def nested(levels: int) -> Schema:
    """A schema of objects within objects."""
    return {"type": "object", "properties": {"in": nested(levels - 1)} if levels else {}}


def refusal(analysis: dict[str, Any]) -> tuple[str, str]:
    """The field and the reason with which a plan is refused."""
    with pytest.raises(ValidationError) as refused:
        AgentConfig.model_validate({"analysis": analysis})
    [fault, *_] = refused.value.errors()
    return ".".join(map(str, fault["loc"])), fault["msg"]


REFUSED: list[tuple[Schema, str]] = [
    ({"type": "array"}, "must be the JSON Schema of an object"),
    ({}, "must be the JSON Schema of an object"),
    ({"type": "object", "properties": {"a": {"type": "text"}}}, "at properties/a/type"),
    ({"type": "object", "properties": []}, "is not a JSON Schema"),
    ({"type": "object", "$ref": "#"}, r"must not use $ref"),
    (
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}},
        "must not use pattern",
    ),
    ({"type": "object", "anyOf": [{"patternProperties": {".": {}}}]}, "patternProperties"),
    ({"type": "object", "items": {"not": {"$dynamicRef": "#a"}}}, "$dynamicRef"),
    ({"type": "object", "description": "x" * 20_000}, "must not be longer"),
]


@pytest.mark.parametrize(("schema", "reason"), REFUSED)
def test_a_schema_that_cannot_be_used(schema: Schema, reason: str) -> None:
    field, told = refusal({"data_schema": schema})
    assert field == "analysis.data_schema"
    assert reason in told


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        nested(40),
        {
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "enum": ["$ref", "pattern"]},
                "$ref": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
            },
            "required": ["pattern"],
        },
    ],
)
def test_a_schema_that_can(schema: dict[str, Any]) -> None:
    config = AgentConfig.model_validate({"analysis": {"data_schema": schema}})
    assert config.analysis
    assert config.analysis.data_schema == schema


def test_criteria_have_ids_of_their_own() -> None:
    twice = [{"id": "a", "description": "x"}, {"id": "a", "description": "y"}]
    assert refusal({"success_criteria": twice})[0] == "analysis"
    assert refusal({"success_criteria": [{"id": "not an id", "description": "x"}]})[0] == (
        "analysis.success_criteria.0.id"
    )
    many = [{"id": f"c{number}", "description": "x"} for number in range(21)]
    assert refusal({"success_criteria": many})[0] == "analysis.success_criteria"
    assert refusal({"criteria": []})[0] == "analysis.criteria"
