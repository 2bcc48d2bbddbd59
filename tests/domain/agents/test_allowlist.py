"""What an agent gets to know is one model: nothing else reaches it, and a new field is one edit."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from domain.agents.config import AgentConfig, DispatchedConfig
from domain.ids import SessionKey
from domain.sessions.dispatch_metadata import DispatchMetadata, EverlineMetadata, dispatch_metadata

SEED_FIELDS = {
    *("engine", "prompt", "dynamic_variables", "dynamic_variable_defaults", "turn_detection"),
    *("noise_cancellation", "conversation_start", "agent_name", "agent_description", "apiKey"),
    *("agentId", "managed_agents", "user_id", "session_id", "tools", "lyzr_tools", "lyzr_rag"),
    *("agentic_rag", "vad_enabled", "preemptive_generation", "pronunciation_correction"),
    *("pronunciation_rules", "background_audio", "avatar"),
}
EVERLINES_OWN_FIELDS = {
    *("http_tools", "mcp_servers", "transfer", "time_zone", "silence", "max_duration_warning"),
    *("recording", "recovery"),
}
EVERYTHING: dict[str, Any] = {
    "engine": {"kind": "pipeline", "llm": "openai/gpt-4.1-mini"},
    "prompt": "p",
    "dynamic_variables": {"a": "1"},
    "dynamic_variable_defaults": {"a": "0"},
    "turn_detection": "english",
    "noise_cancellation": {"enabled": True, "type": "bvc"},
    "conversation_start": {"who": "ai", "greeting": "Hi"},
    "agent_name": "n",
    "agent_description": "d",
    "tools": ["end_call"],
    "lyzr_tools": [{"name": "t", "any": 1}],
    "lyzr_rag": {"base_url": "https://rag.test", "rag_id": "r"},
    "agentic_rag": [{"any": 1}],
    "http_tools": [
        {
            "name": "order_status",
            "description": "d",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
            "method": "GET",
            "url": "https://shop.test/orders/{{id}}",
            "headers": {"authorization": "Bearer t"},
            "query": {"lang": "en"},
            "body": {"any": 1},
            "timeout": 5.0,
            "max_response_bytes": 1000,
        }
    ],
    "mcp_servers": [
        {
            "name": "crm",
            "url": "https://mcp.test/mcp",
            "headers": {"x-key": "k"},
            "allowed_tools": ["find"],
            "timeout": 3.0,
        }
    ],
    "transfer": {
        "destinations": [{"name": "desk", "to": "+43123456", "description": "d"}],
        "play_dialtone": True,
    },
    "time_zone": "Europe/Vienna",
    "silence": {
        "enabled": True,
        "nudge_after": 10.0,
        "nudges": 1,
        "nudge_text": "Hello?",
        "end_after": 5.0,
        "goodbye_text": "Bye.",
    },
    "max_duration_warning": {"seconds_before": 30.0, "text": "Soon.", "goodbye_text": "Bye."},
    "recovery": {"enabled": True, "text": "Sorry, say that again."},
    "vad_enabled": True,
    "preemptive_generation": True,
    "pronunciation_correction": True,
    "pronunciation_rules": {"SQL": "sequel"},
    "background_audio": {"ambient": "office"},
    "avatar": {"enabled": True, "provider": "anam"},
    "recording": {"enabled": True},
    "api_key": "k",
    "agent_id": "ag-1",
    "managed_agents": {
        "enabled": True,
        "agents": [{"id": "m", "name": "M", "usage_description": "u"}],
    },
    "knowledge_base": {"enabled": True, "secret_of_ours": "never sent"},
    "analysis": {"success_criteria": [{"id": "sold", "description": "never sent"}]},
}


def sent(config: AgentConfig) -> dict[str, Any]:
    """What a dispatch of this configuration carries, as JSON."""
    everline = EverlineMetadata(
        org="acme", attempt=1, callback_url="https://api.test", callback_token="t"
    )
    metadata = dispatch_metadata(config, SessionKey("acme", "call-1"), "user-1", everline)
    return json.loads(metadata.model_dump_json(exclude_none=True))


def test_the_agent_gets_the_seeds_fields_and_everlines_one() -> None:
    config = AgentConfig.model_validate(EVERYTHING)
    assert set(EVERYTHING) == set(AgentConfig.model_fields), "the example has every field"

    found = sent(config)

    assert set(found) == SEED_FIELDS | EVERLINES_OWN_FIELDS | {"everline"}
    renamed = {"apiKey": "k", "agentId": "ag-1", "user_id": "user-1", "session_id": "call-1"}
    assert {name: found[name] for name in renamed} == renamed
    same = (SEED_FIELDS | EVERLINES_OWN_FIELDS) - set(renamed) - {"managed_agents", "engine"}
    for name in same:
        assert found[name] == EVERYTHING[name], name
    assert found["managed_agents"] == EVERYTHING["managed_agents"]["agents"]
    assert "never sent" not in json.dumps(found)


def test_model_and_voice_are_sent_as_the_debugging_document_names_them() -> None:
    everline = EverlineMetadata(
        org="acme", attempt=1, callback_url="https://api.test", callback_token="t"
    )
    config, key = AgentConfig(), SessionKey("acme", "call-1")
    metadata = dispatch_metadata(config, key, None, everline, model="openai/x", voice="alloy")
    assert (metadata.model, metadata.voice) == ("openai/x", "alloy")


def test_managed_agents_are_sent_only_if_enabled() -> None:
    managed = {**EVERYTHING["managed_agents"], "enabled": False}
    found = sent(AgentConfig.model_validate(EVERYTHING | {"managed_agents": managed}))
    assert "managed_agents" not in found


def test_a_field_that_is_not_known_is_refused_at_the_door() -> None:
    with pytest.raises(ValidationError, match="promt"):
        AgentConfig.model_validate({"promt": "typo"})


def test_a_field_of_the_allowlist_reaches_the_agent_without_being_named_anywhere_else() -> None:
    """The three models share one declaration; were one of them a list of its own, this fails."""
    for model in (AgentConfig, DispatchMetadata):
        for name, field in DispatchedConfig.model_fields.items():
            assert model.model_fields[name].annotation == field.annotation, name
            assert name not in model.__annotations__, f"{name} is declared again"
    only_dispatched = {*DispatchMetadata.model_fields} - {*DispatchedConfig.model_fields}
    assert only_dispatched == {
        *("apiKey", "agentId", "managed_agents", "user_id", "session_id", "everline"),
        *("model", "voice"),
    }
