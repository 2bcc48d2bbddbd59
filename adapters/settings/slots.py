"""How many slots a worker process has for each kind of task."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from adapters.settings.base import EnvironmentSettings
from domain.task_queues import DEFAULT_SLOTS, TaskKind

MOST_SLOTS = 10_000


class SlotSettings(EnvironmentSettings):
    """The slots of one worker process."""

    everline_worker_slots: Annotated[dict[TaskKind, int], NoDecode] = Field(
        default_factory=dict[TaskKind, int]
    )
    """`kind=slots`, comma separated; the other kinds have their defaults. With 0, this process does
    not serve the kind."""
    everline_org_slot_share: float = Field(default=0.25, gt=0, le=1)
    """Share of the slots that one org may hold while few are free."""

    @field_validator("everline_worker_slots", mode="before")
    @classmethod
    def _by_kind(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        slots: dict[TaskKind, int] = {}
        for word in value.split(","):
            name, _, number = word.partition("=")
            try:
                slots[TaskKind(name.strip())] = int(number)
            except ValueError:
                kinds = ", ".join(TaskKind)
                raise ValueError(f"must be kind=slots, comma separated; kinds: {kinds}") from None
        return slots

    @field_validator("everline_worker_slots")
    @classmethod
    def _in_range(cls, slots: dict[TaskKind, int]) -> dict[TaskKind, int]:
        if not all(0 <= number <= MOST_SLOTS for number in slots.values()):
            raise ValueError(f"must be from 0 to {MOST_SLOTS} slots")
        if not any({**DEFAULT_SLOTS, **slots}.values()):
            raise ValueError("must leave slots for at least one kind")
        return slots

    @property
    def slots(self) -> dict[TaskKind, int]:
        """The slots of every kind, in this process."""
        return {**DEFAULT_SLOTS, **self.everline_worker_slots}
