"""How many turns each session has, how many bytes, and the number of its last write.

One document per session. Each write of turns is counted before it is made, and its number is the
`position` of the turns that it changes, so that readers can ask for what is new.
"""

from collections.abc import Sequence
from typing import NamedTuple

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id
from adapters.mongo.tenancy import OrgCollection
from domain.ids import SessionKey
from domain.transcripts.transcript import TranscriptLimits

COLLECTION = "turn_totals"


class Growth(NamedTuple):
    """What a write adds to a session."""

    turns: int = 0
    bytes: int = 0

    def plus(self, other: "Growth") -> "Growth":
        """The sum."""
        return Growth(self.turns + other.turns, self.bytes + other.bytes)

    def exceeds(self, limits: TranscriptLimits) -> bool:
        """Whether a session of this size is over a limit."""
        return any(most and size > most for size, most in zip(self, limits, strict=True))


class Reserved(NamedTuple):
    """A write that was counted."""

    position: int
    fits: list[bool]
    """Which parts of the write fit; only these are counted."""
    turns_full: bool = False
    """Whether the number of turns is what did not fit, not their bytes."""


class TurnTotals:
    """The totals of sessions."""

    def __init__(self, database: Database, limits: TranscriptLimits) -> None:
        self._totals = OrgCollection(database[COLLECTION])
        self._limits = limits

    async def last_position(self, key: SessionKey) -> int:
        """The number of the session's last write; 0 if there was none."""
        found = await self._totals.of_session(key).find_one({"_id": document_id(*key)})
        return found.get("position", 0) if found else 0

    async def reserve(self, key: SessionKey, parts: Sequence[Growth]) -> Reserved:
        """Count a write, but for the parts of it that do not fit."""
        every = _sum(parts)
        after = await self._add(key, every, position=1)
        size = Growth(after["turns"] - every.turns, after["bytes"] - every.bytes)
        fits: list[bool] = []
        turns_full = False
        for part in parts:
            grown = size.plus(part)
            # What adds nothing fits even after a limit was lowered.
            fits.append(part <= Growth() or not grown.exceeds(self._limits))
            if fits[-1]:
                size = grown
            else:
                turns_full |= grown.exceeds(self._limits._replace(bytes=0))
        left_out = [part for part, fit in zip(parts, fits, strict=True) if not fit]
        await self.give_back(key, left_out)
        return Reserved(after["position"], fits, turns_full)

    async def give_back(self, key: SessionKey, parts: Sequence[Growth]) -> None:
        """Count parts no longer, because they are not written."""
        total = _sum(parts)
        if any(total):
            await self._add(key, Growth(-total.turns, -total.bytes))

    async def _add(self, key: SessionKey, growth: Growth, position: int = 0) -> Document:
        by = {**growth._asdict(), "position": position}
        return await self._totals.of_session(key).increment(document_id(*key), by)


def _sum(parts: Sequence[Growth]) -> Growth:
    return Growth(*map(sum, zip(Growth(), *parts, strict=True)))
