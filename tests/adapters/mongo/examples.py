"""Turns, reports and statuses as they come in, with what matters to a test given by it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.sessions.session import SessionState, SessionStatus, WaitingFor
from domain.transcripts.transcript import AgentReport, Role, Turn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def turn(number: int, text: str = "", **fields: Any) -> Turn:
    """Turn of attempt 1, ten seconds after the one before; the caller has the even numbers."""
    given: dict[str, Any] = {
        "item_id": f"item_{number}",
        "attempt": 1,
        "seq": number,
        "role": Role.USER if number % 2 == 0 else Role.ASSISTANT,
        "text": text or f"utterance {number}",
        "created_at": NOON + timedelta(seconds=10 * number),
    }
    return Turn.model_validate(given | fields)


def conversation(*lines: str) -> list[Turn]:
    """Turns from lines such as `caller: Hello` and `agent: Hi`."""
    turns: list[Turn] = []
    for seq, line in enumerate(lines):
        speaker, _, text = line.partition(": ")
        role = {"caller": Role.USER, "agent": Role.ASSISTANT}[speaker]
        turns.append(turn(seq, text, role=role))
    return turns


def report(**fields: Any) -> AgentReport:
    """A report of attempt 1."""
    return AgentReport.model_validate({"attempt": 1, **fields})


def status(version: int, **fields: Any) -> SessionStatus:
    """A status of the session `acme/call-1`."""
    given: dict[str, Any] = {
        "org": "acme",
        "session_id": "call-1",
        "room_name": "acme.room",
        "state": SessionState.LIVE,
        "waiting_for": WaitingFor.CALL_END,
        "version": version,
        "agent_name": "local-test",
        "started_at": NOON,
    }
    return SessionStatus.model_validate(given | fields)


def nested(depth: int) -> dict[str, Any]:
    """A dictionary in a dictionary in a dictionary …"""
    outermost: dict[str, Any] = {}
    innermost = outermost
    for _ in range(depth - 1):
        innermost["in"] = innermost = {}
    return outermost
