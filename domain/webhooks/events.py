"""The events that endpoints are sent, in the format of Standard Webhooks.

Events are thin: ids, states, outcomes and times. Fetch the transcript through the API.
"""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel

from domain.ids import SessionKey
from domain.json_model import or_else


class EventType(StrEnum):
    """The types of events."""

    SESSION_STARTED = "session.started"
    SESSION_AGENT_JOINED = "session.agent_joined"
    SESSION_ENDED = "session.ended"
    SESSION_FAILED = "session.failed"
    TRANSCRIPT_READY = "transcript.ready"
    SUMMARY_READY = "summary.ready"
    TEST = "webhook.test"
    """Sent on request, to test an endpoint."""


class Event(BaseModel):
    """An event; its id is the same however often it is detected."""

    event_id: str
    """`webhook-id` of every delivery of it."""
    type: Annotated[EventType, or_else(EventType.TEST)]
    org: str
    session_id: str | None = None
    at: datetime
    """When it happened, not when it was detected."""
    data: dict[str, Any]

    def body(self) -> str:
        """What is sent, as JSON text: `type`, `timestamp` and `data`."""
        content = {"type": self.type.value, "timestamp": self.at.isoformat(), "data": self.data}
        return json.dumps(content, separators=(",", ":"))


def event_id(key: SessionKey, kind: EventType, revision: str = "") -> str:
    """The id of a session's event: one per type and revision."""
    parts = "\x1f".join((key.org, key.session_id, kind.value, revision))
    return f"evt_{hashlib.sha256(parts.encode()).hexdigest()[:32]}"
