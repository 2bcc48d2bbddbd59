"""Everything that the two seed documents ask for, each with the test that proves it.

A row names a test, or a whole file of tests in which the row's own words stand. What the documents
ask for and Everline does not have is listed as well.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from adapters.settings import ApiSettings, PagosSettings
from tests.contract.test_openapi_rules import OPERATIONS

ROOT = Path(__file__).parents[2]
API = "tests/contract/test_seed_api_tables.py"
DEBUG = "tests/contract/test_debug_document.py"
ENVIRONMENT = "tests/contract/test_environment_tables.py"
CARTESIA = "tests/e2e/test_hybrid_calls.py::test_a_call_with_a_voice_of_cartesia"
ELEVENLABS = "tests/e2e/test_hybrid_calls.py::test_a_call_with_a_voice_of_elevenlabs"
REALTIME = "tests/e2e/test_realtime_call.py::test_a_bare_voice_is_a_realtime_call"
TENANTS = "tests/e2e/test_privacy.py::test_two_orgs_never_meet"
STARTING = "tests/api/sessions/test_starting.py"
HEALTH = "tests/api/test_health.py"

PATHS = {
    "POST /session": f"{API}::test_post_session",
    "POST /session/end": f"{API}::test_post_session_end",
    "POST /session/observability": f"{API}::test_post_session_observability",
    "GET /config/tools": f"{API}::test_get_config_tools",
    "GET /config/realtime-options": f"{API}::test_get_config_realtime_options",
    "GET /config/pipeline-options": f"{API}::test_get_config_pipeline_options",
    "GET /agents": f"{API}::test_get_agents",
    "POST /agents": f"{API}::test_post_agents",
    "GET /agents/:agentId": f"{API}::test_get_put_and_delete_agents_agent_id",
    "PUT /agents/:agentId": f"{API}::test_get_put_and_delete_agents_agent_id",
    "DELETE /agents/:agentId": f"{API}::test_get_put_and_delete_agents_agent_id",
    "GET /api/transcripts": f"{API}::test_the_transcript_rows",
    "GET /api/transcripts/:sessionId": f"{API}::test_the_transcript_rows",
    "GET /api/transcripts/agent/:agentId": f"{API}::test_the_transcript_rows",
    "GET /api/transcripts/agent/:agentId/stats": f"{API}::test_the_transcript_rows",
    "GET /health": f"{API}::test_get_health",
    "POST /v1/sessions/start": f"{DEBUG}::test_post_v1_sessions_start",
    "POST /v1/sessions/:id/turns": f"{DEBUG}::test_turns_are_posted_and_read",
    "GET /v1/sessions/:id/turns": f"{DEBUG}::test_turns_are_posted_and_read",
    "GET /health/agent": f"{DEBUG}::test_get_health_agent",
}

FIELDS = {
    "userIdentity": f"{API}::test_post_session_needs_a_user_identity_and_a_key",
    "roomName": f"{API}::test_post_session_end",
    "sessionId": f"{API}::test_post_session_end",
    "agentId": f"{API}::test_post_session_with_an_agent_id",
    "agentConfig": f"{API}::test_post_session",
    "userToken": f"{API}::test_post_session",
    "livekitUrl": f"{API}::test_post_session",
    "agentDispatched": f"{API}::test_post_session",
    "livekit_url": f"{DEBUG}::test_post_v1_sessions_start",
    "livekit_token": f"{DEBUG}::test_post_v1_sessions_start",
    "room_name": f"{DEBUG}::test_post_v1_sessions_start",
    "model": f"{DEBUG}::test_post_v1_sessions_start",
    "voice": f"{DEBUG}::test_post_v1_sessions_start",
}
"""Of requests and answers; those of the metadata are `ALLOWLIST` in the test of the contract."""

SETTINGS = [
    *("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "PAGOS_API_URL", "PAGOS_ADMIN_TOKEN"),
    *("PORT", "NODE_ENV", "AGENT_NAME", "LIVEKIT_AGENT_NAME", "MONGODB_URI", "MONGODB_DATABASE"),
    *("LIVEKIT_WEBHOOK_API_KEY", "LIVEKIT_WEBHOOK_API_SECRET"),
]

BEHAVIOUR = {
    "keys resolve to orgId, userId and isAdmin": (
        "tests/adapters/auth/test_pagos.py::test_a_valid_key_is_whom_pagos_says"
    ),
    "Pagos' userId reaches the dispatch": CARTESIA,
    "transcripts and sessions are scoped by org": TENANTS,
    "sessions work without MONGODB_URI": (
        "tests/e2e/test_without_mongodb.py::test_a_session_runs_where_mongodb_is_not_configured"
    ),
    "agents and transcripts answer 503 without it": f"{API}::test_all_require_a_key_and_mongodb",
    "the metadata's allowlist": f"{API}::test_the_metadata_contract",
    "a new field of the configuration is one edit": (
        "tests/domain/agents/test_allowlist.py::"
        "test_a_field_of_the_allowlist_reaches_the_agent_without_being_named_anywhere_else"
    ),
    "the room is kept until the report came": (
        f"{STARTING}::test_ending_keeps_the_room_until_the_report_came"
    ),
    "an inline configuration is merged over the saved one": (
        f"{API}::test_post_session_with_an_agent_id"
    ),
    "unknown tools are left out": (
        "tests/services/agents/test_configuration.py::test_unknown_tools_are_left_out_and_reported"
    ),
    "a knowledge base enables its tool": f"{API}::test_the_metadata_contract",
    "agent names match or are told": f"{HEALTH}::test_another_agent_name_is_a_mismatch",
    "telephony routes answer 404": f"{API}::test_telephony_is_404_without_its_setting",
    # The debugging document.
    "a whole Realtime call": REALTIME,
    "a whole Hybrid call with Cartesia": CARTESIA,
    "a whole Hybrid call with ElevenLabs": ELEVENLABS,
    "https:// for the server's calls, in the logs": ELEVENLABS,
    "participant identities at the join check, in the logs": ELEVENLABS,
    "wss:// for clients": f"{DEBUG}::test_url_schemes",
    "the default model of the Hybrid path": (
        f"{DEBUG}::test_the_default_model_is_the_documents_on_both_sides"
    ),
    "invalid models are refused": f"{DEBUG}::test_invalid_models_are_refused_with_the_valid_ones",
    "the agent is in the room within 7.5 s": f"{DEBUG}::test_the_joins_time_is_the_documents",
    "dispatched and never joined": f"{DEBUG}::test_an_agent_that_never_joins_is_told_as_such",
    "a line to alert on, in the logs": f"{DEBUG}::test_an_agent_that_never_joins_is_told_as_such",
    "dispatches and joins are counted": REALTIME,
    "summaries go from pending to ready": f"{DEBUG}::test_summaries_go_from_pending_to_ready",
    "/health/agent shows LiveKit's outage": f"{HEALTH}::test_livekit_is_away",
    "the join grants": (f"{STARTING}::test_the_callers_token_opens_one_room_for_one_identity"),
}

NOT_THERE = {
    *("POST /telephony/livekit-webhook", "GET /telephony/bindings"),
    *("POST /telephony/providers/telnyx/onboard", "POST /telephony/providers/twilio/onboard"),
    *("TELEPHONY_ENABLED", "TELEPHONY_SIP_IDENTITY_PREFIX", "TELEPHONY_SECRETS_KEY"),
    *("TELEPHONY_DISPATCH_ON_ANY_PARTICIPANT_JOIN", "LIVEKIT_SIP_HOST", "TELNYX_API_KEY"),
}
"""Phone calls; the migration guide says so."""


@cache
def functions(file: str) -> dict[str, str]:
    """The source of each function of a file, by name."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def names_in(file: str, function: str) -> str:
    """The source of the named function; the test fails if there is none."""
    assert function.startswith("test_")
    assert function in functions(file), f"{file} has no {function}"
    return functions(file)[function]


@pytest.mark.parametrize("row", [*PATHS, *BEHAVIOUR])
def test_a_row_has_its_test(row: str) -> None:
    file, _, function = (PATHS | BEHAVIOUR)[row].partition("::")
    assert names_in(file, function)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_named_by_its_test(field: str) -> None:
    file, _, function = FIELDS[field].partition("::")
    assert f'"{field}"' in names_in(file, function)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_served(path: str) -> None:
    served = {re.sub(r"{\w+}", ":", each) for each in OPERATIONS}
    assert re.sub(r":\w+", ":", path) in served


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_read_and_has_its_test(name: str) -> None:
    assert name in (ROOT / ENVIRONMENT).read_text(encoding="utf-8")
    assert name.lower() in _names_of_settings()


def _names_of_settings() -> set[str]:
    return {*ApiSettings.model_fields, *PagosSettings.model_fields}


def test_what_is_not_there_is_told() -> None:
    assert not {name.lower() for name in NOT_THERE} & _names_of_settings()
    assert not NOT_THERE & OPERATIONS.keys()
    guide = (ROOT / "docs/how-to/migration.md").read_text(encoding="utf-8")
    assert "`/telephony/…` answers 404" in guide
