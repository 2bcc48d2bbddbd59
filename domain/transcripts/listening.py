"""Turns that a hidden listener transcribes in the room of an agent that sends none."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from domain.json_model import or_else
from domain.transcripts.transcript import MAX_TURN_CHARS, Role, Turn

HEARD_PREFIX = "heard-"
"""Prefix of the item ids of the listener's turns; the agent's own report replaces them."""


class Heard(BaseModel):
    """One finished segment of LiveKit's transcription streams."""

    segment: str = Field(min_length=1, max_length=150)
    """LiveKit's id of the segment, the same each time it is sent."""
    role: Annotated[Role, or_else(Role.ASSISTANT)]
    text: str
    began_at: datetime
    """When its first text arrived."""
    ended_at: datetime
    interrupted: bool = False

    def turn(self, attempt: int) -> Turn:
        """The segment as a turn, ordered by its start time."""
        return Turn(
            item_id=f"{HEARD_PREFIX}{self.segment}",
            attempt=attempt,
            role=self.role,
            text=self.text[:MAX_TURN_CHARS],
            created_at=self.began_at,
            interrupted=self.interrupted,
        )


def listening_task_queue(task_queue: str) -> str:
    """The listeners' own task queue: each occupies a slot there for a whole call."""
    return f"{task_queue}-listening"


def listener_identity(attempt: int) -> str:
    """Identity of the listener; a second one of the same attempt replaces the first."""
    return f"everline-listener-{attempt}"
