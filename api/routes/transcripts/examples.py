"""One example of each body that is about what was said, for `api.examples`."""

from typing import Any

from pydantic import BaseModel

from api.routes.recordings.recordings import RecordingNoted
from api.routes.transcripts.answers import TranscriptAnswer, TranscriptDeleted, TranscriptList
from api.routes.transcripts.retention import RetentionAnswer, RetentionBody
from api.routes.transcripts.statistics import AgentStats
from domain.access.audit import AuditPage
from domain.recordings.recording import CallRecording
from domain.transcripts.external_report import ForeignReport

Json = dict[str, Any]

_START, _END = "2030-01-31T08:00:00Z", "2030-01-31T08:04:10Z"
_DIGEST = "86ddcf63a1f0c5b9d7e2048b6a3f91cc57d80e4b29af16d3580c7be94f2a61d0"

_HEAD: Json = {
    "sessionId": "call-1",
    "agentId": "018ab3f4c2d19e07f1c2d3e4",
    "agentVersion": 3,
    "userId": "anna",
    "roomName": "acme.call-1",
    "state": "complete",
    "outcome": "completed",
    "endReason": "caller_left",
    "startedAt": _START,
    "joinedAt": _START,
    "endedAt": _END,
    "durationSeconds": 250.0,
    "turnCount": 12,
    "userTurns": 6,
    "agentTurns": 6,
    "interruptions": 1,
    "toolCalls": 1,
    "toolErrors": 0,
    "attempts": 1,
    "joins": 1,
    "joinSeconds": 0.92,
    "responseSeconds": 1.4,
    "cost": 0.0123,
    "recordings": 0,
    "summaryStatus": "ready",
}
_TURN: Json = {
    "itemId": "item_7e2d",
    "attempt": 1,
    "seq": 2,
    "role": "user",
    "text": "A table for four, please.",
    "createdAt": _START,
    "interrupted": False,
    "startedSpeakingAt": None,
    "stoppedSpeakingAt": None,
    "metrics": {"transcription_delay": 0.31},
    "agentId": None,
}
_REPORT: Json = {
    "attempt": 1,
    "jobId": "AJ_zdqzsKyAJx7J",
    "agentVersion": "0.1.0",
    "endReason": "caller_left",
    "error": None,
    "startedAt": _START,
    "endedAt": _END,
    "turnCount": 12,
    "errors": [
        {
            "at": _START,
            "stage": "tts_error",
            "kind": "APITimeoutError",
            "source": "livekit.plugins.cartesia.tts.TTS",
            "recoverable": True,
        }
    ],
    "missingVariables": ["first_name"],
    "configuredOtherwise": [
        {"field": "engine.tts", "reason": "cartesia/sonic-3 cannot be reached; the fallback speaks"}
    ],
    "toolCalls": [
        {
            "call_id": "call_1",
            "name": "end_call",
            "arguments": "{}",
            "started_at": _END,
            "seconds": 0.2,
            "ok": True,
        }
    ],
    "handOffs": [],
    "leftOut": [],
}
_SUMMARY: Json = {
    "status": "ready",
    "text": "The caller's request: a table for four.",
    "error": None,
    "attempts": 1,
    "summariser": "extractive",
    "analysis": None,
    "current": True,
    "updatedAt": _END,
}
_SPREAD: Json = {"count": 40, "average": 231.5, "p50": 212.0, "p95": 480.0, "max": 612.0}
_AUDIT: Json = {
    "org": "acme",
    "id": "018ab3f4c2d19e07",
    "at": _END,
    "action": "transcript.deleted",
    "actor": "user anna",
    "subject": "call-1",
    "details": {"turns": 12},
}

TRANSCRIPT_EXAMPLES: dict[type[BaseModel], Json] = {
    TranscriptList: {"transcripts": [_HEAD], "nextCursor": None},
    TranscriptAnswer: {
        **_HEAD,
        "complete": True,
        "digest": _DIGEST,
        "sealedAt": _END,
        "turns": [_TURN],
        "reports": [_REPORT],
        "summary": _SUMMARY,
        "usage": [],
        "costEstimate": None,
        "latency": None,
        "recordingFiles": [],
    },
    TranscriptDeleted: {
        "sessionId": "call-1",
        "turns": 12,
        "reports": 1,
        "recordings": 0,
        "summaries": 1,
    },
    AgentStats: {
        "agentId": "018ab3f4c2d19e07f1c2d3e4",
        "from": "2030-01-01T00:00:00Z",
        "to": "2030-02-01T00:00:00Z",
        "count": 40,
        "durationSeconds": _SPREAD,
        "turns": {"count": 40, "average": 11.2, "p50": 10.0, "p95": 24.0, "max": 31.0},
        "userTurns": 224,
        "agentTurns": 224,
        "interruptions": 9,
        "toolCalls": 31,
        "toolErrors": 0,
        "recordings": 0,
        "responseSeconds": {"count": 40, "average": 1.5, "p50": 1.4, "p95": 2.2, "max": 2.9},
        "cost": {"count": 40, "average": 0.012, "p50": 0.011, "p95": 0.02, "max": 0.03},
        "costTotal": 0.48,
        "join": {
            "sessions": 41,
            "joined": 40,
            "successRate": 0.976,
            "attempts": 43,
            "seconds": {"count": 40, "average": 0.9, "p50": 0.8, "p95": 1.6, "max": 3.1},
        },
        "states": {"complete": 40, "live": 1},
        "outcomes": {"completed": 40},
        "endReasons": {"caller_left": 40},
        "summaryStates": {"ready": 40},
    },
    RetentionBody: {"transcript_days": 90},
    RetentionAnswer: {
        "transcript_days": 90,
        "source": "org",
        "default_days": 0,
        "updated_at": _END,
        "updated_by": "user anna",
    },
    AuditPage: {"entries": [_AUDIT], "next": None},
    CallRecording: {
        "attempt": 1,
        "state": "stored",
        "path": "acme/call-1/1-AJ_zdqzsKyAJx7J.ogg",
        "started_at": _START,
        "bytes": 1_048_576,
    },
    RecordingNoted: {"stored": True},
    ForeignReport: {
        "room": "acme.call-1",
        "chat_history": {"items": [{"role": "user", "content": ["A table for four, please."]}]},
    },
}
