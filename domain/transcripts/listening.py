"""What a silent listener hears in the room of an agent that sends no turns itself."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from domain.json_model import or_else
from domain.transcripts.transcript import MAX_TURN_CHARS, Role, Turn

HEARD_PREFIX = "heard-"
"""Begins the item ids of turns that were heard; a report of the agent's own replaces them."""


class Heard(BaseModel):
    """One finished segment of LiveKit's transcription streams."""

    segment: str = Field(min_length=1, max_length=150)
    """LiveKit's id of it, the same in every repetition."""
    role: Annotated[Role, or_else(Role.ASSISTANT)]
    text: str
    began_at: datetime
    """When its first text came."""
    ended_at: datetime
    interrupted: bool = False

    def turn(self, attempt: int) -> Turn:
        """The segment as a turn; the time at which it began orders it."""
        return Turn(
            item_id=f"{HEARD_PREFIX}{self.segment}",
            attempt=attempt,
            role=self.role,
            text=self.text[:MAX_TURN_CHARS],
            created_at=self.began_at,
            interrupted=self.interrupted,
        )


def listening_task_queue(task_queue: str) -> str:
    """The listeners' own task queue: each takes its place there for as long as a call lasts."""
    return f"{task_queue}-listening"


def listener_identity(attempt: int) -> str:
    """Identity of the listener; a second one of the same attempt takes its place."""
    return f"everline-listener-{attempt}"
