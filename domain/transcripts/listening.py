"""Turns that a hidden listener transcribes in the room of an agent that sends none."""

import hashlib
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel

from domain.ids import OWN_IDENTITY_PREFIX
from domain.json_model import or_else
from domain.transcripts.transcript import MAX_TURN_CHARS, Role, Turn

HEARD_PREFIX = "heard-"
"""Prefix of the item ids of the listener's turns; the agent's own report replaces them."""


class Heard(BaseModel):
    """One finished segment of LiveKit's transcription streams."""

    segment: str
    """LiveKit's id of the segment, the same each time it is sent. Its sender chooses it."""
    sender: str = ""
    """Identity in whose name it was sent. LiveKit lets only agents send in another one's name."""
    role: Annotated[Role, or_else(Role.ASSISTANT)]
    text: str
    began_at: datetime
    """When its first text arrived."""
    ended_at: datetime
    interrupted: bool = False

    def turn(self, attempt: int) -> Turn:
        """The segment as a turn, ordered by its start time."""
        # A caller may send a segment with the id of the agent's, which must stay another turn.
        key = "\n".join((self.role, self.sender, self.segment))
        return Turn(
            item_id=f"{HEARD_PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:32]}",
            attempt=attempt,
            role=self.role,
            text=self.text[:MAX_TURN_CHARS],
            created_at=self.began_at,
            interrupted=self.interrupted,
        )


def listener_identity(attempt: int) -> str:
    """Identity of the listener; a second one of the same attempt replaces the first."""
    return f"{OWN_IDENTITY_PREFIX}listener-{attempt}"
