"""No request or report takes a value of another JSON type for a number, a time or a truth value."""

import types
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from typing_extensions import TypeIs

from domain.agents.servers import Heartbeat
from domain.transcripts.external_report import ForeignReport
from domain.transcripts.report_reading import read_report
from domain.transcripts.usage import ModelUsage
from tests.api.door import JSON, Door, is_problem

NOT_NUMBERS: list[Any] = [True, False, "1", "1.5", ""]
NOT_TRUTH: list[Any] = [1, 0, "true", "yes", ""]
NOT_TIMES: list[Any] = [True, False, "1700000000", "1.5", ""]
TOLERANT = {ModelUsage}
"""A counter that is no number counts as 0; see below."""


def kinds_of(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from kinds_of(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from kinds_of(one)
    else:
        yield annotation


def models_in(annotation: Any, found: set[type[BaseModel]]) -> None:
    """Add all models that an annotation contains, at any depth."""
    for kind in kinds_of(annotation):
        for part in get_args(kind):
            models_in(part, found)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found.add(kind)
            for field in kind.model_fields.values():
                models_in(field.annotation, found)


def bodies_of(dependant: Dependant) -> Iterator[Any]:
    for parameter in dependant.body_params:
        yield parameter.field_info.annotation
    for inner in dependant.dependencies:
        yield from bodies_of(inner)


def _is_api_route(route: object) -> TypeIs[APIRoute]:
    return isinstance(route, APIRoute)


def request_models(app: FastAPI) -> list[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    models_in(Heartbeat, found)
    for included in app.routes:
        router = getattr(included, "original_router", None)
        for route in filter(_is_api_route, router.routes if router else [included]):
            for body in bodies_of(route.dependant):
                models_in(body, found)
    return sorted(found - TOLERANT, key=lambda model: model.__name__)


def wrong_values(kinds: list[Any]) -> list[Any]:
    """Values of another type than these."""
    if {int, float} & set(kinds):
        return [] if {str, bool} & set(kinds) else NOT_NUMBERS
    if bool in kinds:
        return [] if str in kinds else NOT_TRUTH
    return NOT_TIMES if datetime in kinds else []


def places(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Each field, with values that it must refuse: by itself, in a list, in an object."""
    for name, field in model.model_fields.items():
        kinds = list(kinds_of(field.annotation))
        for wrong in wrong_values(kinds):
            yield name, wrong
        for kind in kinds:
            if get_origin(kind) is list:
                yield from (
                    (name, [wrong]) for wrong in wrong_values([*kinds_of(get_args(kind)[0])])
                )
            elif get_origin(kind) is dict:
                inside = [*kinds_of(get_args(kind)[1])]
                yield from ((name, {"x": wrong}) for wrong in wrong_values(inside))


def refuses(model: type[BaseModel], name: str, value: Any) -> bool:
    given = model.model_fields[name].validation_alias or model.model_fields[name].alias or name
    try:
        model.model_validate({str(getattr(given, "choices", [given])[0]): value})
    except ValidationError as error:
        return any(fault["loc"] and fault["type"] != "missing" for fault in error.errors())
    return False


def test_every_request_model_refuses_values_of_another_type(door: Door) -> None:
    models = request_models(door.app)
    names = {model.__name__ for model in models}
    assert {"TurnIn", "AgentReport", "ToolCall", "GivenLimits", "Heartbeat"} <= names

    taken = [
        f"{model.__name__}.{name}: {value!r}"
        for model in models
        for name, value in places(model)
        if not refuses(model, name, value)
    ]

    assert taken == []


TURN: JSON = {"role": "user", "text": "x"}


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("metrics", {"x": False}, "turns.0.metrics.x"),
        ("metrics", {"y": 1.5, "x": True}, "turns.0.metrics.x"),
        ("seq", True, "turns.0.seq"),
        ("attempt", "1", "turns.0.attempt"),
        ("interrupted", 1, "turns.0.interrupted"),
        ("created_at", False, "turns.0.created_at"),
        ("created_at", "1700000000", "turns.0.created_at"),
        ("stopped_speaking_at", True, "turns.0.stopped_speaking_at"),
    ],
)
async def test_a_turn_names_the_value_of_another_type(
    door: Door, field: str, value: Any, place: str
) -> None:
    body = {"turns": [TURN | {field: value}]}

    answer = await door.http.post("/v1/sessions/any/turns", json=body)

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == place
    assert "must be" in fault["reason"]


@pytest.mark.parametrize("value", [True, "7", None, float("nan")])
def test_a_usage_counter_that_is_no_number_counts_as_nothing(value: Any) -> None:
    usage = ModelUsage.model_validate({"input_tokens": value, "output_tokens": 3})

    assert (usage.input_tokens, usage.output_tokens) == (0, 3)


def test_a_report_loses_only_the_value_of_another_type() -> None:
    turn: JSON = {
        "item_id": "i",
        "attempt": 1,
        "role": "user",
        "text": "Hello",
        "created_at": "2026-03-01T12:00:00Z",
    }
    given: JSON = {
        "attempt": 1,
        "turns": [turn | {"seq": True, "interrupted": "yes", "started_speaking_at": True}],
        "tool_calls": [{"call_id": "c", "name": "n", "seconds": True, "ok": 1}],
    }

    report = read_report(given)

    [kept], [call] = report.turns, report.tool_calls
    assert (kept.text, kept.seq, kept.interrupted) == ("Hello", None, False)
    assert kept.started_speaking_at is None
    assert (call.name, call.seconds, call.ok) == ("n", None, None)
    assert len(report.unreadable) == 5


def test_an_external_reports_truth_values_are_no_figures() -> None:
    item: JSON = {
        "role": "assistant",
        "content": "Hi",
        "metrics": {"e2eLatency": 1.5, "llmNodeTtft": True, "startedSpeakingAt": True},
    }
    given: JSON = {"items": [item], "usage": [{"type": "stt", "audioDurationMs": True}]}

    read = ForeignReport.model_validate(given).report(1, datetime(2026, 3, 1, tzinfo=UTC))

    assert read.turns[0].metrics == {"e2e_latency": 1.5}
    assert read.turns[0].started_speaking_at is None
    assert read.usage[0].audio_duration == 0
