"""The evidence of a call in which everything happened, to take single things away from."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.demo.client import Started, Status, Summary, Transcript, TranscriptHeader, Turn
from stack.demo.evidence import AgentInRoom, Evidence, Exchange
from stack.demo.lines import read_lines

SESSION = "demo-1"
ROOM = f"local.{SESSION}"
AGENT = "agent-AJ_1"
ANSWERS = (
    "Hello! So that is a table for four. For which day?",
    "So that is a table for four tomorrow at seven in the evening. What name shall I put it under?",
    "I have booked a table for four tomorrow at seven in the evening for Anna Miller.",
)
_BEGAN = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


def good_call() -> Evidence:
    """A fresh copy every time."""
    lines = read_lines()
    turns = [_turn(0, "assistant", "Good evening!")]
    for line, answer in zip(lines, ANSWERS, strict=True):
        turns.append(_turn(len(turns), "user", line.says))
        turns.append(_turn(len(turns), "assistant", answer))
    return Evidence(
        session_id=SESSION,
        lines=lines,
        started=Started(
            session_id=SESSION,
            room_name=ROOM,
            livekit_url="ws://127.0.0.1:7880",
            livekit_token="token",
            agent_joined=True,
        ),
        start_seconds=0.6,
        joined=status(state="live", waiting_for="caller"),
        agents=[AgentInRoom(AGENT, active=True, attempt="1")],
        seen_by_caller=[AGENT],
        exchanges=[
            Exchange(line, heard=line.says, answer=answer, speech_seconds=3.0, silence_seconds=0.8)
            for line, answer in zip(lines, ANSWERS, strict=True)
        ],
        live_turns=turns,
        speech_seconds=12.0,
        recording=Path("heard.wav"),
        ended=status(
            state="closed",
            waiting_for="nothing",
            outcome="completed",
            end_reason="end_requested",
            report_received=True,
            room_deleted=True,
        ),
        transcript=Transcript(
            turns=list(turns),
            transcript=TranscriptHeader(complete=True, turn_count=len(turns), digest="d1"),
        ),
        summary=Summary(
            status="ready", text="A table.", summariser="extractive", transcript_digest="d1"
        ),
        rooms_left=[],
        disconnected=True,
    )


def status(**changes: object) -> Status:
    """The status of the session, with some of it changed."""
    fields: dict[str, object] = {
        "org": "local",
        "state": "live",
        "waiting_for": "caller",
        "attempt": 1,
        "dispatches": 1,
        "joins": 1,
        "agent_name": "local-test",
        "agent_identity": AGENT,
        "join_seconds": 0.5,
    }
    return Status.model_validate({**fields, **changes})


def _turn(number: int, role: str, text: str) -> Turn:
    return Turn(
        item_id=f"item_{number}",
        attempt=1,
        role=role,
        text=text,
        created_at=_BEGAN + timedelta(seconds=number),
    )
