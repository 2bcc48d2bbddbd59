"""What is known of API keys for a short while, by hash; bounded, whatever keys are tried."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from domain.access.principal import Principal


class Known(NamedTuple):
    """An answer that is still good; the principal is None for a key that is not known."""

    principal: Principal | None


class _Entry(NamedTuple):
    principal: Principal | None
    until: float


class KeyCache:
    """Valid and unknown keys apart, so that a flood of wrong keys pushes no right one out."""

    def __init__(
        self,
        size: int,
        seconds: float,
        negative_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the bounds.

        Args:
            size: most entries of each kind; the longest unused goes first.
            seconds: life of a valid key's answer.
            negative_seconds: life of the answer that a key is not known.
            clock: monotonic seconds.
        """
        self._size = size
        self._seconds = seconds
        self._negative_seconds = negative_seconds
        self._clock = clock
        self._valid: OrderedDict[bytes, _Entry] = OrderedDict()
        self._unknown: OrderedDict[bytes, _Entry] = OrderedDict()

    def get(self, digest: bytes) -> Known | None:
        """The answer that is kept for a key's hash; None if there is none that is fresh."""
        for entries in (self._valid, self._unknown):
            entry = entries.get(digest)
            if entry is None:
                continue
            if self._clock() < entry.until:
                entries.move_to_end(digest)
                return Known(entry.principal)
            del entries[digest]
        return None

    def put(self, digest: bytes, principal: Principal | None, asked_at: float) -> None:
        """Keep an answer; its life begins when the question was asked, not when it came."""
        self._valid.pop(digest, None)
        self._unknown.pop(digest, None)
        seconds = self._seconds if principal else self._negative_seconds
        entries = self._valid if principal else self._unknown
        entries[digest] = _Entry(principal, asked_at + seconds)
        if len(entries) > self._size:
            entries.popitem(last=False)

    def now(self) -> float:
        """The cache's clock."""
        return self._clock()
