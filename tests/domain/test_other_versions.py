"""Whatever crosses between processes can come from next year's Everline, and is read all the same.

The models are found in the code (see `tests/crossing.py`): a new one is tested from its first day.
"""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from domain.access.api_keys import ApiKeyRecord
from domain.access.audit import AuditEntry
from domain.agents.config import AgentConfig, EngineKind
from domain.agents.places import PlaceState
from domain.json_model import FROM_ANOTHER_VERSION, reader
from domain.recordings.recording import RecordingState
from domain.sessions.control import FinishCall
from domain.sessions.end_reasons import EndReason, ReportEnd
from domain.sessions.messages import ParticipantChange, ParticipantKind
from domain.sessions.session import Outcome, SessionState, Stage, WaitingFor
from domain.transcripts.analysis import AnalysisStatus, Verdict
from domain.transcripts.listing import TranscriptState
from domain.transcripts.summary import SummaryStatus
from domain.transcripts.transcript import Role
from domain.webhooks.deliveries import DeliveryStatus
from domain.webhooks.events import EventType
from tests.crossing import (
    NEXT_YEAR,
    choices,
    payload,
    read_choices,
    stored_and_called_back,
    strict_reads,
    temporal_types,
)

FALLBACKS: dict[str, Any] = {
    "AgentConfig.turn_detection": None,
    "AgentReport.end_reason": ReportEnd.AGENT_ENDED,
    "Analysis.status": AnalysisStatus.UNAVAILABLE,
    "ApiKeyRecord.scopes": (),
    "Attempted.status": DeliveryStatus.DEAD_LETTER,
    "CallRecording.state": RecordingState.PENDING,
    "ConversationStart.who": "human",
    "CriterionResult.result": Verdict.UNKNOWN,
    "Delivery.event": EventType.TEST,
    "Delivery.status": DeliveryStatus.DEAD_LETTER,
    "DispatchMetadata.turn_detection": None,
    "EndRequest.reason": EndReason.END_REQUESTED,
    "Endpoint.events": [EventType.TEST],
    "Engine.kind": EngineKind.PIPELINE,
    "HttpTool.method": "GET",
    "ParticipantChanged.change": ParticipantChange.OTHER,
    "ParticipantChanged.kind": ParticipantKind.OTHER,
    "ReportReceived.end_reason": ReportEnd.AGENT_ENDED,
    "SessionInput.place": PlaceState.RESERVED,
    "SessionResult.end_reason": EndReason.AGENT_ENDED,
    "SessionResult.outcome": Outcome.FAILED,
    "SessionStatus.end_reason": EndReason.AGENT_ENDED,
    "SessionStatus.outcome": Outcome.FAILED,
    "SessionStatus.state": SessionState.LIVE,
    "SessionStatus.waiting_for": WaitingFor.NOTHING,
    "Summary.status": SummaryStatus.FAILED,
    "TranscriptLine.end_reason": EndReason.AGENT_ENDED,
    "TranscriptLine.outcome": Outcome.FAILED,
    "TranscriptLine.state": TranscriptState.PARTIAL,
    "TranscriptLine.summary": SummaryStatus.FAILED,
    "Turn.role": Role.ASSISTANT,
    "WaitUntil.stage": Stage.JOINED,
}
"""What an unknown value is read as, field by field. A new field is added with some thought: what
do a client, the reaper and the workflow do with the fallback?"""
DROPPED = {"FinishCall.type", "AuditEntry.action"}
"""No value may stand for another one: the whole is left out, and the log says so."""
STRICT = {
    "adapters/mongo/webhooks/webhooks.py: _SECRETS.validate_json": "no model forbids fields in it",
    "agent/call/report.py: AgentReport.model_validate": "it reads what the process itself wrote",
    "agent/server/health.py: _Report.model_validate_json": "the process asks itself",
    "agent/spool/record.py: cls.model_validate_json": "an unknown kind of record is set aside",
}
"""Reads without the context, and why."""

MODELS = [model for model in stored_and_called_back() if model not in (FinishCall, AuditEntry)]
HINTS = [*temporal_types(), *MODELS]


def test_the_models_are_found() -> None:
    names = {getattr(hint, "__name__", str(hint)) for hint in HINTS}

    assert names >= {
        *("SessionInput", "SessionStatus", "SessionResult", "EndRequest", "ReportReceived"),
        *("AgentReady", "ReadyAnswer", "WaitUntil", "DispatchAgent", "SummaryOrder", "Attempted"),
        *("TranscriptHeader", "Turn", "AgentReport", "SavedAgent", "Heartbeat", "TimeLeft"),
        *("DispatchMetadata", "HeartbeatAnswer", "CallRecording", "Endpoint", "Delivery"),
    }


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_a_payload_from_next_year_is_read(hint: Any) -> None:
    read = TypeAdapter(hint).validate_python(payload(hint), context=FROM_ANOTHER_VERSION)

    assert {field: value for field, value in read_choices(read) if value != FALLBACKS[field]} == {}


def test_every_enum_and_literal_that_crosses_has_a_fallback() -> None:
    crossing = [*HINTS, FinishCall, AuditEntry]
    fields = {field for hint in crossing for field, _ in choices(hint)}

    assert fields == FALLBACKS.keys() | DROPPED


def test_what_has_no_fallback_is_refused_whole() -> None:
    for model in (FinishCall, AuditEntry):
        with pytest.raises(ValidationError):
            reader(model)(payload(model))


@pytest.mark.parametrize("package", ["activities", "adapters/mongo", "agent"])
def test_nothing_that_crosses_is_read_strictly(package: str) -> None:
    assert [read for read in strict_reads(package) if read not in STRICT] == []


def test_a_client_is_told_of_what_is_unknown() -> None:
    for config in ({NEXT_YEAR: 1}, {"conversation_start": {"who": NEXT_YEAR}}):
        with pytest.raises(ValidationError):
            AgentConfig.model_validate(config)


def test_a_value_that_fits_no_version_is_refused() -> None:
    for wrong in (7, None, ["live"]):
        with pytest.raises(ValidationError):
            TypeAdapter(AgentConfig).validate_python(
                {"engine": {"kind": wrong}}, context=FROM_ANOTHER_VERSION
            )


def test_an_unknown_scope_opens_nothing() -> None:
    record = {"prefix": "p", "org": "o", "created_at": "2030-01-31T08:00:00Z"}
    key = reader(ApiKeyRecord)(record | {"scopes": ["read", NEXT_YEAR]})

    assert [scope.value for scope in key.scopes] == ["read"]


def test_the_fallback_is_written_back_as_a_known_value() -> None:
    for model in MODELS:
        read: BaseModel = reader(model)(payload(model))
        assert reader(model)(read.model_dump(mode="json")) == read
