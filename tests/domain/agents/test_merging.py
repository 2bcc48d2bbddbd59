"""A saved configuration with an inline one on top."""

from typing import Any

import pytest

from domain.agents.config import AgentConfig
from domain.agents.masking import MASK
from domain.agents.merging import merged

SAVED: dict[str, Any] = {
    "engine": {"stt": "deepgram/nova-3", "llm": "openai/gpt-4.1", "language": "de"},
    "prompt": "saved",
    "dynamic_variables": {"name": "Ada", "plan": "gold"},
    "tools": ["end_call"],
    "conversation_start": {"who": "ai", "greeting": "Hello"},
    "api_key": "s-1",
    "avatar": {"enabled": True, "anam": {"apiKey": "s-2"}},
}


@pytest.mark.parametrize(
    ("inline", "field", "expected"),
    [
        ({}, "prompt", "saved"),
        ({"prompt": "inline"}, "prompt", "inline"),
        ({"prompt": None}, "prompt", None),
        ({"tools": []}, "tools", []),
        (
            {"dynamic_variables": {"plan": "free"}},
            "dynamic_variables",
            {"name": "Ada", "plan": "free"},
        ),
        ({"api_key": MASK}, "api_key", "s-1"),
        ({"api_key": "s-9"}, "api_key", "s-9"),
        ({"agent_name": "new"}, "agent_name", "new"),
        (
            {"conversation_start": {"greeting": "Hi"}},
            "conversation_start",
            {"who": "ai", "greeting": "Hi"},
        ),
        ({"conversation_start": None}, "conversation_start", None),
        ({"vad_enabled": False}, "vad_enabled", False),
        ({"avatar": {"anam": None}}, "avatar", {"enabled": True, "anam": None}),
    ],
)
def test_inline_wins_field_by_field(inline: dict[str, Any], field: str, expected: Any) -> None:
    result = merged(AgentConfig.model_validate(SAVED), AgentConfig.model_validate(inline))

    assert result.model_dump(exclude_unset=True)[field] == expected
    untouched = {name: value for name, value in SAVED.items() if name not in inline}
    assert result.model_dump(exclude_unset=True, include=set(untouched)) == untouched


def test_the_engine_is_merged_within_its_kind() -> None:
    inline = AgentConfig.model_validate({"engine": {"llm": "xai/grok-4.3"}})
    engine = merged(AgentConfig.model_validate(SAVED), inline).engine

    assert (engine.stt, engine.llm, engine.language) == ("deepgram/nova-3", "xai/grok-4.3", "de")


def test_another_kind_of_engine_keeps_the_language_alone() -> None:
    inline = AgentConfig.model_validate({"engine": {"kind": "realtime", "voice": "alloy"}})
    engine = merged(AgentConfig.model_validate(SAVED), inline).engine

    assert engine.model_dump(exclude_none=True) == {
        "kind": "realtime",
        "voice": "alloy",
        "language": "de",
    }
