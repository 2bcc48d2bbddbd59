"""Keeps one org from taking all slots of a kind, in this worker process."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from domain.errors import Unavailable

RETRY_SECONDS = 2
"""After how long a step that was refused is tried again."""


class OrgShares:
    """Who holds how many of a number of slots.

    An org may use whatever is free, except for a reserve. Within the reserve, only orgs get a slot
    that hold no more than their share of all slots.
    """

    def __init__(self, slots: int, share: float) -> None:
        """Divide `slots`; `share` is both an org's share and the reserve, from 0 to 1."""
        self._share = max(1, round(slots * share))
        self._free_for_all = slots - self._share
        self._held = Counter[str]()

    @contextmanager
    def slot(self, org: str) -> Generator[None]:
        """Count a slot as the org's during the block."""
        self._held[org] += 1
        try:
            yield
        finally:
            self._held[org] -= 1
            if not self._held[org]:
                del self._held[org]

    def exceeded_by(self, org: str) -> bool:
        """Whether the org holds more than its share while few slots are free."""
        return self._held.total() > self._free_for_all and self._held[org] > self._share

    @contextmanager
    def slot_within_share(self, org: str) -> Generator[None]:
        """As `slot`; raises `Unavailable` if the org's share is exceeded.

        The step is retried later and keeps no slot meanwhile, so that another org gets it.
        """
        with self.slot(org):
            if self.exceeded_by(org):
                raise Unavailable(
                    f"org {org} holds its share of this worker's slots",
                    cure="wait, or raise EVERLINE_WORKER_SLOTS",
                    retry_after=RETRY_SECONDS,
                )
            yield


UNLIMITED = OrgShares(1_000_000, 1.0)
"""Where orgs need not be told apart."""
