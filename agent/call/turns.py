"""LiveKit's conversation items as turns, numbered in the order in which they were committed."""

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

import structlog
from livekit.agents import llm

from agent.logs import frames
from domain.json_model import is_unicode, writable_text
from domain.transcripts.transcript import MAX_TURN_CHARS, Role, Turn

log = structlog.stdlib.get_logger(__name__)

FIRST_AGENT = "default_agent"
"""The SDK's id of an `Agent` without a subclass: the one that a call begins with."""
_LONGEST_ID = 200
"""Limit of a turn's item id, characters."""
_SPEAKING_TIMES = ("started_speaking_at", "stopped_speaking_at")


class TurnLog:
    """Gives each conversation item of one attempt its number and its agent, once."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt
        self._known: dict[str, tuple[int, str | None]] = {}
        self._agent_id: str | None = None

    def turn(self, item: object) -> Turn | None:
        """The turn of an item; None for what nobody said (hand-offs, tool calls, instructions).

        An item that makes no valid turn is logged and skipped.
        """
        if isinstance(item, llm.AgentHandoff):
            first = item.new_agent_id == FIRST_AGENT
            self._agent_id = None if first else item.new_agent_id
        if not isinstance(item, llm.ChatMessage) or item.role not in ("user", "assistant"):
            return None
        text = item.text_content
        if not text:
            return None
        try:
            return self._turn(item, text)
        except (ValueError, OverflowError, OSError) as error:
            # Without the error's message, which quotes the conversation.
            log.error("item_is_no_turn", role=item.role, error=frames(error))
            return None

    def _turn(self, item: llm.ChatMessage, text: str) -> Turn:
        metrics: dict[str, Any] = dict(item.metrics)
        seq, agent_id = self._known.setdefault(item.id, (len(self._known), self._agent_id))
        return Turn(
            item_id=_item_id(item.id),
            attempt=self._attempt,
            seq=seq,
            role=Role(item.role),
            text=writable_text(text)[:MAX_TURN_CHARS],
            created_at=datetime.fromtimestamp(item.created_at, UTC),
            interrupted=item.interrupted,
            started_speaking_at=_optional_time(metrics.get("started_speaking_at")),
            stopped_speaking_at=_optional_time(metrics.get("stopped_speaking_at")),
            metrics=_latencies(metrics),
            agent_id=agent_id,
        )


def restored(turns: list[Turn]) -> llm.ChatContext:
    """A chat context that knows the turns so far, in order."""
    context = llm.ChatContext.empty()
    for turn in turns:
        context.add_message(
            role=turn.role.value,
            content=turn.text,
            created_at=turn.created_at.timestamp(),
            interrupted=turn.interrupted,
        )
    return context


def _latencies(metrics: dict[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if name not in _SPEAKING_TIMES and isinstance(value, int | float) and math.isfinite(value)
    }


def _item_id(given: str) -> str:
    """The SDK's id, or its digest if it cannot be stored: turns are deduplicated by it."""
    if given and len(given) <= _LONGEST_ID and is_unicode(given):
        return given
    return hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()


def _optional_time(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
