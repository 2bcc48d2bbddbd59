"""Examples of the API's bodies: built from their schemas, with a typical value for each field."""

from typing import Any

from jsonschema import Draft202012Validator
from pydantic.alias_generators import to_snake

Json = dict[str, Any]

_CONFIG: Json = {
    "prompt": "You are the host of a restaurant.",
    "conversation_start": {"who": "ai", "greeting": "Good evening! How can I help?"},
    "tools": ["end_call"],
}
_NAMED: Json = {"agent_name": "Host", **_CONFIG}
_PLAN: Json = {
    "summary_prompt": "For the kitchen: allergies and wishes first.",
    "data_schema": {"type": "object", "properties": {"guests": {"type": "integer"}}},
    "success_criteria": [{"id": "booked", "description": "A table was booked."}],
}
_FAULT: Json = {
    "field": "roomName",
    "reason": "room acme.table-4 belongs to another session",
    "cure": "choose another roomName, or leave it out to get a new one",
}
_URL = "https://hooks.example.com/everline"

WRITTEN: dict[str, Json] = {
    "AgentBody": {"config": _NAMED},
    "AgentChange": {"config": _NAMED, "version": 3},
    "AnalysisPlan": _PLAN,
    "ConfigWarning": {"field": "tools", "reason": "there is no tool 'fly'; it is left out"},
    "ConfiguredOtherwise": {"field": "engine.tts", "reason": "the fallback speaks"},
    "DispatchMetadata": {**_CONFIG, "session_id": "call-1"},
    "EndRequestBody": {"roomName": "acme.table-4"},
    "ForeignReport": {
        "room": "acme.call-1",
        "chat_history": {"items": [{"role": "user", "content": ["A table for four, please."]}]},
    },
    "Fault": _FAULT,
    "HeartbeatAnswer": {"accepted": True, "stop": []},
    "KeyBody": {"name": "laptop", "user_id": "anna", "scopes": ["read", "write"]},
    "Problem": {
        "title": "RoomNameTaken",
        "status": 409,
        "code": "room_name_taken",
        "detail": _FAULT["reason"],
        "errors": [_FAULT],
        "request_id": "31259f67b31a42959799f009c2eac432",
    },
    "ProviderOptions": {
        "id": "openai",
        "name": "OpenAI",
        "models": [{"id": "openai/gpt-realtime", "name": "gpt-realtime"}],
        "voices": [{"id": "alloy", "name": "alloy"}],
        "customVoices": False,
        "defaultModel": "openai/gpt-realtime",
        "defaultVoice": "alloy",
        "source": "livekit-plugins-openai",
    },
    "RotateBody": {"overlap_hours": 24},
    "SessionRequest": {"userIdentity": "ann", "roomName": "table-4", "agentConfig": _CONFIG},
    "StartBody": {"session_id": "call-1", "user_identity": "ann", "agent_config": _CONFIG},
    "SummaryBody": {"analysis": _PLAN},
    "TurnsIn": {"turns": [{"role": "user", "text": "A table for four, please."}]},
    "WebhookBody": {"url": _URL, "events": ["session.ended", "summary.ready"]},
    "WebhookChange": {"enabled": True},
}
"""Written by hand, by schema: mostly bodies whose fields are optional."""

_VALUES: Json = {
    "actor": "user anna",
    "agent": "local-test",
    "agent_config": _CONFIG,
    "agent_id": "018ab3f4c2d19e07f1c2d3e4",
    "agent_name": "local-test",
    "call_id": "call_1",
    "callback_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "config": _NAMED,
    "created_by": "anna",
    "data": {"guests": 4},
    "date": "2030-01-31",
    "delivery_id": "dlv_307eb9ebeecc558dbdfa3d36c450d7d0",
    "description": "Lets the agent hang up.",
    "detail": "https://livekit.example.com answers",
    "digest": "86ddcf63a1f0c5b9d7e2048b6a3f91cc57d80e4b29af16d3580c7be94f2a61d0",
    "draining": False,
    "end_reason": "caller_left",
    "event_id": "evt_5f0c1c2f9f1e8a4d7b6a3e2d1c0b9a88",
    "id": "end_call",
    "identity": "agent-AJ_zdqzsKyAJx7J",
    "interrupted": False,
    "item_id": "item_7e2d",
    "job_id": "AJ_zdqzsKyAJx7J",
    "join_seconds": 0.92,
    "key": "evk_d0f3mkU7_of-which-only-the-hash-is-kept",
    "kind": "APITimeoutError",
    "livekit_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "livekit_url": "wss://livekit.example.com",
    "model": "openai/gpt-4.1-mini",
    "name": "end_call",
    "org": "acme",
    "path": "acme/call-1/1-AJ_zdqzsKyAJx7J.ogg",
    "prefix": "d0f3mkU7",
    "provider": "openai",
    "remaining": 3412.5,
    "room_name": "acme.call-1",
    "secret": "whsec_c2hvd24gb25jZSwgYW5kIHN0b3JlZCBlbmNyeXB0ZWQ=",
    "seconds": 60,
    "server_id": "host-1",
    "session_id": "call-1",
    "subject": "call-1",
    "stage": "tts_error",
    "status": "ready",
    "summariser": "extractive",
    "summary_status": "ready",
    "text": "A table for four, please.",
    "to_agent": "Billing",
    "tool_errors": 0,
    "transcript_days": 90,
    "updated_by": "anna",
    "url": _URL,
    "user_id": "anna",
    "user_identity": "ann",
    "user_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "voice": "openai/gpt-4o-mini-tts:ash",
    "webhook_id": "we_01a204e645aec18590a92ce2",
}
"""By the field's name in snake case, for every field of this name that takes such a value."""
_OF_TYPE: Json = {"boolean": True, "integer": 1, "number": 1.5, "object": {}}


def example_of(name: str, schemas: Json) -> Json:
    """An example of an object: its required fields, and the others that have a typical value.

    Args:
        name: the name of its schema.
        schemas: all schemas of the document, by name.
    """
    if name in WRITTEN:
        return WRITTEN[name]
    required: list[str] = schemas[name].get("required", [])
    example: Json = {}
    for field, schema in schemas[name].get("properties", {}).items():
        typical = _VALUES.get(to_snake(field))
        # `Any`: a part of its type is unknown.
        whole: Any = Draft202012Validator({**schema, "components": {"schemas": schemas}})
        if typical is not None and whole.is_valid(typical):
            example[field] = typical
        elif field in required:
            example[field] = _value(schema, schemas)
    return example


def _value(schema: Json, schemas: Json) -> Any:
    alternatives: list[Json] = schema.get("anyOf", [schema])
    first = alternatives[0]
    if "$ref" in first:
        name = first["$ref"].rpartition("/")[2]
        first = schemas[name]
        if "enum" not in first:
            return example_of(name, schemas)
    elif {"type": "null"} in alternatives:
        # Plain values that may be null are null: they are the exceptions, such as errors.
        return None
    if "items" in first:
        return [_value(first["items"], schemas)] if "$ref" in first["items"] else []
    if first.get("format") == "date-time":
        return "2030-01-31T08:04:10Z"
    [choice, *_] = first.get("enum", [first.get("const")])
    return choice or _OF_TYPE.get(first["type"], "example")
