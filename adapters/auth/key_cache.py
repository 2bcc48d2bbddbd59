"""A bounded cache of what API keys resolved to, by their hashes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from domain.access.principal import Principal


class Known(NamedTuple):
    """A cached answer; `principal` is None for an unknown key."""

    principal: Principal | None


class KeyCache:
    """Valid and unknown keys are kept apart, so that wrong keys never evict right ones.

    Keeps `size` entries of each kind, the least recently used going first, for `seconds` or, if the
    key is unknown, for `negative_seconds`.
    """

    def __init__(
        self,
        size: int,
        seconds: float,
        negative_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._seconds = seconds
        self._negative_seconds = negative_seconds
        self.now = clock
        self._valid: OrderedDict[bytes, tuple[Known, float]] = OrderedDict()
        self._unknown: OrderedDict[bytes, tuple[Known, float]] = OrderedDict()

    def get(self, digest: bytes) -> Known | None:
        """The fresh answer for a key's hash, if there is one."""
        for entries in (self._valid, self._unknown):
            known, until = entries.pop(digest, (None, 0.0))
            if known and self.now() < until:
                entries[digest] = known, until
                return known
        return None

    def put(self, digest: bytes, principal: Principal | None, asked_at: float) -> None:
        """Keep an answer; it ages from when the question was asked, not from its arrival."""
        self._valid.pop(digest, None)
        self._unknown.pop(digest, None)
        seconds = self._seconds if principal else self._negative_seconds
        entries = self._valid if principal else self._unknown
        entries[digest] = (Known(principal), asked_at + seconds)
        if len(entries) > self._size:
            entries.popitem(last=False)
