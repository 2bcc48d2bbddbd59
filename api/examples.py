"""One example of each body, as the OpenAPI document shows it; a test holds each to its model."""

from typing import Any

from pydantic import BaseModel

from api.problems import Fault, Problem
from api.routes.access.keys import KeyBody, KeyCreated, Keys
from api.routes.agent_callbacks.callbacks import Accepted
from api.routes.agents.agents import (
    AgentAnswer,
    AgentBody,
    AgentChange,
    AgentList,
    VersionAnswer,
    VersionList,
)
from api.routes.agents.catalogs import ModelOptions, PipelineOptions, ToolOptions
from api.routes.health import AgentHealth, Health
from api.routes.livekit import Received
from api.routes.seed import (
    EndRequestBody,
    EndResponse,
    ReportResponse,
    SessionRequest,
    SessionResponse,
)
from api.routes.sessions.operators import ExtendBody
from api.routes.sessions.sessions import Ended, StartBody, StartResponse
from api.routes.transcripts.examples import TRANSCRIPT_EXAMPLES
from api.routes.transcripts.summaries import SummaryBody
from api.routes.transcripts.turns import Turns, TurnsIn, TurnsStored
from api.routes.webhooks.examples import WEBHOOK_EXAMPLES
from domain.agents.servers import Heartbeat, HeartbeatAnswer
from domain.sessions.dispatch_metadata import DispatchMetadata
from domain.sessions.listing import SessionPage
from domain.sessions.messages import AgentFailed, AgentReady, ReadyAnswer, TimeLeft
from domain.sessions.session import SessionStatus
from domain.transcripts.analysis import Analysis, AnalysisPlan
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import AgentReport

Json = dict[str, Any]

_START, _END = "2030-01-31T08:00:00Z", "2030-01-31T08:04:10Z"
_DIGEST = "86ddcf63a1f0c5b9d7e2048b6a3f91cc57d80e4b29af16d3580c7be94f2a61d0"

_CONFIG: Json = {
    "prompt": "You are the host of a restaurant.",
    "conversation_start": {"who": "ai", "greeting": "Good evening! How can I help?"},
    "tools": ["end_call"],
}
_ENGINE: Json = {
    "kind": "pipeline",
    "stt": "openai/gpt-4o-mini-transcribe",
    "llm": "openai/gpt-4.1-mini",
    "tts": "openai/gpt-4o-mini-tts:ash",
}
_RESOLVED: Json = {"engine": _ENGINE, **_CONFIG}
_NAMED: Json = {"agent_name": "Host", **_CONFIG}
_WARNING: Json = {
    "field": "tools",
    "reason": "there is no tool 'fly'; it is left out",
    "cure": "use one of the ids that GET /config/tools lists",
}
_TURN: Json = {
    "item_id": "item_7e2d",
    "attempt": 1,
    "seq": 2,
    "role": "user",
    "text": "A table for four, please.",
    "created_at": _START,
    "interrupted": False,
    "started_speaking_at": None,
    "stopped_speaking_at": None,
    "metrics": {},
    "agent_id": None,
}
_STATUS: Json = {
    "org": "acme",
    "session_id": "call-1",
    "room_name": "acme.call-1",
    "state": "live",
    "waiting_for": "call_end",
    "version": 9,
    "agent_name": "local-test",
    "attempt": 1,
    "dispatches": 1,
    "joins": 1,
    "agent_dispatched": True,
    "agent_joined": True,
    "agent_identity": "agent-AJ_zdqzsKyAJx7J",
    "caller_present": True,
    "join_seconds": 0.92,
    "started_at": _START,
    "joined_at": _START,
    "timeline": [{"at": _START, "text": "room created"}],
}
_LINE: Json = {
    "session_id": "call-1",
    "room_name": "acme.call-1",
    "agent": "local-test",
    "state": "closed",
    "waiting_for": "nothing",
    "outcome": "completed",
    "end_reason": "end_requested",
    "attempt": 1,
    "started_at": _START,
    "closed_at": _END,
}
_AGENT: Json = {
    "agentId": "018ab3f4c2d19e07f1c2d3e4",
    "version": 3,
    "config": _NAMED,
    "createdAt": _START,
    "createdBy": "anna",
    "updatedAt": _END,
    "updatedBy": "anna",
    "restoredFrom": None,
    "warnings": [],
}
_VERSION: Json = {
    "version": 3,
    "agentName": "Host",
    "updatedAt": _END,
    "updatedBy": "anna",
    "restoredFrom": None,
}
_KEY: Json = {
    "prefix": "d0f3mkU7",
    "org": "acme",
    "user_id": "anna",
    "name": "laptop",
    "scopes": ["read", "write"],
    "is_admin": False,
    "created_at": _START,
    "created_by": "anna",
}
_MODELS: Json = {
    "date": "2030-01-31",
    "providers": [
        {
            "id": "openai",
            "name": "OpenAI",
            "models": [{"id": "openai/gpt-realtime", "name": "gpt-realtime"}],
            "voices": [{"id": "alloy", "name": "alloy"}],
            "customVoices": False,
            "defaultModel": "openai/gpt-realtime",
            "defaultVoice": "alloy",
            "source": "livekit-plugins-openai",
        }
    ],
}
_TOOL: Json = {"id": "end_call", "name": "End call", "description": "Lets the agent hang up."}
_WELL: Json = {"ok": True, "detail": "https://livekit.example.com answers"}
_JOB: Json = {"job_id": "AJ_zdqzsKyAJx7J", "tick_age": 0.4}
_SERVER: Json = {
    "server_id": "host-1",
    "agent_name": "local-test",
    "max_jobs": 10,
    "free": 9,
    "draining": False,
    "jobs": [_JOB],
}
_FAULT: Json = {
    "field": "roomName",
    "reason": "room acme.table-4 belongs to another session",
    "cure": "choose another roomName, or leave it out to get a new one",
}
_PROBLEM: Json = {
    "type": "about:blank",
    "title": "RoomNameTaken",
    "status": 409,
    "code": "room_name_taken",
    "detail": "room acme.table-4 belongs to another session",
    "errors": [_FAULT],
    "request_id": "31259f67b31a42959799f009c2eac432",
}

_PLAN: Json = {
    "summary_prompt": "For the kitchen: allergies and wishes first.",
    "data_schema": {"type": "object", "properties": {"guests": {"type": "integer"}}},
    "success_criteria": [{"id": "booked", "description": "A table was booked."}],
}

EXAMPLES: dict[type[BaseModel], Json] = {
    Problem: _PROBLEM,
    Fault: _FAULT,
    # Sessions
    StartBody: {"session_id": "call-1", "user_identity": "ann", "agent_config": _CONFIG},
    StartResponse: {
        "session_id": "call-1",
        "room_name": "acme.call-1",
        "livekit_url": "wss://livekit.example.com",
        "livekit_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
        "user_identity": "ann",
        "model": "openai/gpt-4.1-mini",
        "voice": "openai/gpt-4o-mini-tts:ash",
        "agent_dispatched": True,
        "agent_joined": True,
        "agent_config": _RESOLVED,
        "warnings": [],
    },
    SessionStatus: _STATUS,
    SessionPage: {"sessions": [_LINE], "next": None},
    Ended: {"session_id": "call-1", "ended": True},
    ExtendBody: {"seconds": 600},
    SessionRequest: {"userIdentity": "ann", "roomName": "table-4", "agentConfig": _CONFIG},
    SessionResponse: {
        "userToken": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
        "roomName": "acme.table-4",
        "sessionId": "4f0c2b7de95a",
        "livekitUrl": "wss://livekit.example.com",
        "agentDispatched": True,
        "agentConfig": _RESOLVED,
        "warnings": [_WARNING],
    },
    EndRequestBody: {"roomName": "acme.table-4"},
    EndResponse: {"sessionId": "4f0c2b7de95a", "ended": True},
    # What was said
    TurnsIn: {"turns": [{"role": "user", "text": "A table for four, please."}]},
    TurnsStored: {"stored": 1, "duplicates": 0},
    Turns: {
        "session_id": "call-1",
        "turns": [_TURN],
        "transcript": {
            "org": "acme",
            "session_id": "call-1",
            "complete": True,
            "turn_count": 1,
            "attempts": 1,
            "digest": _DIGEST,
            "sealed_at": _END,
            "updated_at": _END,
        },
    },
    Summary: {
        "org": "acme",
        "session_id": "call-1",
        "status": "ready",
        "text": "The caller's request: a table for four.",
        "attempts": 1,
        "summariser": "extractive",
        "transcript_digest": _DIGEST,
        "updated_at": _END,
    },
    # Saved agents
    AgentBody: {"config": _NAMED},
    AgentChange: {"config": _NAMED, "version": 3},
    AgentAnswer: _AGENT,
    AgentList: {"agents": [_AGENT], "nextCursor": None},
    VersionAnswer: _VERSION,
    VersionList: {"versions": [_VERSION], "nextCursor": None},
    # Catalogs
    ToolOptions: {"date": "2030-01-31", "tools": [_TOOL]},
    ModelOptions: _MODELS,
    PipelineOptions: {"stt": _MODELS, "llm": _MODELS, "tts": _MODELS},
    # Keys
    KeyBody: {"name": "laptop", "user_id": "anna", "scopes": ["read", "write"]},
    KeyCreated: {"key": "evk_d0f3mkU7_of-which-only-the-hash-is-kept", **_KEY},
    Keys: {"keys": [_KEY]},
    SummaryBody: {"analysis": _PLAN},
    AnalysisPlan: _PLAN,
    Analysis: {
        "status": "ready",
        "reason": None,
        "data": {"guests": 4},
        "criteria": [
            {"id": "booked", "result": "success", "rationale": "The agent confirmed the table."}
        ],
        "success": True,
        "attempts": 1,
    },
    # Health
    Health: {"status": "ok", "uptime_seconds": 86_400.5},
    AgentHealth: {
        "status": "ok",
        "agent_name": "local-test",
        "livekit": _WELL,
        "temporal": {"ok": True, "detail": "4 pollers on the task queue"},
        "agents": {"ok": True, "detail": "1 agent servers named 'local-test', room for 9 calls"},
        "installations": {
            "ok": True,
            "detail": "this is 'default-5f1c09ab', alone on this LiveKit as far as rooms show",
        },
        "livekit_webhooks": {"ok": True, "detail": "the last one came at 2030-01-31 08:04:10 UTC"},
        "servers": [{**_SERVER, "last_heartbeat": _END}],
        "servers_known": True,
    },
    # What agents and LiveKit send
    AgentReady: {"attempt": 1, "job_id": "AJ_zdqzsKyAJx7J", "identity": "agent-AJ_zdqzsKyAJx7J"},
    ReadyAnswer: {"accepted": True, "reason": None, "remaining": 3600.0},
    AgentFailed: {
        "event_id": "failed:1:AJ_zdqzsKyAJx7J",
        "attempt": 1,
        "reason": "OPENAI_API_KEY is not set",
        "retryable": False,
    },
    Accepted: {"accepted": True},
    HeartbeatAnswer: {"accepted": True, "stop": []},
    AgentReport: {
        "version": 1,
        "attempt": 1,
        "job_id": "AJ_zdqzsKyAJx7J",
        "end_reason": "caller_left",
        "turns": [_TURN],
        "usage": [],
        "started_at": _START,
        "ended_at": _END,
    },
    ReportResponse: {"sessionId": "4f0c2b7de95a", "stored": True},
    Heartbeat: _SERVER,
    Received: {"forwarded": True},
    TimeLeft: {"remaining": 3412.5},
    DispatchMetadata: {**_RESOLVED, "agentId": "018ab3f4c2d19e07f1c2d3e4", "session_id": "call-1"},
    **TRANSCRIPT_EXAMPLES,
    **WEBHOOK_EXAMPLES,
}
