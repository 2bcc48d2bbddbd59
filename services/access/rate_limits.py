"""How fast an org may ask: one token bucket per org, in this process."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import TooManyRequests

_MOST_ORGS = 10_000
"""Orgs remembered; those with a full bucket are forgotten first, which changes nothing for them."""
_ROUNDING = 1e-6
"""Seconds by which sums of intervals may be off."""


@dataclass
class RequestRates:
    """Requests per second with a burst, each org for itself.

    Several API processes each allow the whole rate.
    """

    per_second: float
    """Sustained rate of one org; 0 means no limit."""
    burst: int
    """Requests that an org may make at once after a pause; at least 1."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    what: str = "requests"
    """What is counted, for people."""
    _full_at: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """When each org's bucket is full again; that is all a bucket needs."""

    def take(self, org: str) -> None:
        """Count one request of an org.

        Raises:
            TooManyRequests: it has none left now, with the seconds until the next.
        """
        if not self.per_second:
            return
        now = self.clock()
        full_at = max(self._full_at.get(org, now), now)
        wait = full_at - now - (max(self.burst, 1) - 1) / self.per_second
        if wait > _ROUNDING:
            raise TooManyRequests(
                f"more than {self.per_second:g} {self.what} per second",
                retry_after=math.ceil(wait - _ROUNDING),
                cure="wait for Retry-After seconds",
            )
        if org not in self._full_at and len(self._full_at) >= _MOST_ORGS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[org] = full_at + 1 / self.per_second
