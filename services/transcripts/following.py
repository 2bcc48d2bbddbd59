"""Follow the turns of a session: each call reads only what was written since the one before."""

import time
from collections.abc import Callable, Sequence

from domain.ids import SessionKey
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.transcript import WRITE_SECONDS, StoredTurn, ordered

_MAX_IN_PROGRESS = 100
"""Writes of a session that may be in progress at once."""


class TurnFollower:
    """The turns of a session in transcript order, also replaced ones.

    Writes are numbered when they begin, so a write may be seen before one with a lower number. A
    missing number is asked for until that write must have ended.
    """

    def __init__(
        self,
        archive: TranscriptArchive,
        key: SessionKey,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self._key = key
        self._clock = clock
        self.start_again()

    def start_again(self) -> None:
        """Have the next call read everything."""
        self._position: int | None = None
        self._missing: dict[int, float] = {}
        self._turns: Sequence[StoredTurn] = []

    async def turns(self) -> Sequence[StoredTurn]:
        """All turns; the same object as before if nothing has changed.

        Raises:
            Unavailable: MongoDB does not answer.
        """
        newest = await self._archive.last_position(self._key)
        now = self._clock()
        self._missing = {
            number: since for number, since in self._missing.items() if now - since < WRITE_SECONDS
        }
        if self._position is None or newest < self._position:
            # Lower after the transcript was deleted.
            self.start_again()
            self._take(await self._archive.stored_turns(self._key), now)
        elif newest > self._position or self._missing:
            found = await self._archive.turns_after(self._key, self._position, list(self._missing))
            self._take(found, now)
        return self._turns

    def _take(self, found: Sequence[StoredTurn], now: float) -> None:
        before = self._position or 0
        seen = {one.position for one in found}
        self._position = last = max(seen | {before})
        for number in range(max(before + 1, last - _MAX_IN_PROGRESS), last):
            self._missing[number] = now
        for number in seen:
            self._missing.pop(number, None)
        if found:
            turns = {_id(one): one for one in (*self._turns, *found)}
            order = ordered(one.turn for one in turns.values())
            self._turns = [turns[turn.attempt, turn.item_id] for turn in order]


def _id(stored: StoredTurn) -> tuple[int, str]:
    return stored.turn.attempt, stored.turn.item_id
