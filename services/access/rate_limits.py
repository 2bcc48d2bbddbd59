"""How fast an org may ask: one token bucket per org, in this process."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.errors import TooManyRequests

_MOST_ORGS = 10_000
"""Buckets kept; full ones are forgotten first, which changes nothing for their orgs."""


@dataclass
class _Bucket:
    tokens: float
    at: float


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
    _buckets: dict[str, _Bucket] = field(default_factory=dict[str, _Bucket], init=False)

    def __post_init__(self) -> None:
        self.burst = max(self.burst, 1)

    def take(self, org: str) -> None:
        """Count one request of an org.

        Raises:
            TooManyRequests: it has none left now, with the seconds until the next.
        """
        if not self.per_second:
            return
        now = self.clock()
        bucket = self._bucket(org, now)
        if bucket.tokens < 1:
            raise TooManyRequests(
                f"more than {self.per_second:g} requests per second",
                retry_after=math.ceil((1 - bucket.tokens) / self.per_second),
                cure="wait for Retry-After seconds",
            )
        bucket.tokens -= 1

    def _bucket(self, org: str, now: float) -> _Bucket:
        bucket = self._buckets.get(org)
        if bucket is None:
            self._forget_full_ones(now)
            bucket = self._buckets[org] = _Bucket(self.burst, now)
        bucket.tokens = self._tokens(bucket, now)
        bucket.at = now
        return bucket

    def _tokens(self, bucket: _Bucket, now: float) -> float:
        return min(self.burst, bucket.tokens + (now - bucket.at) * self.per_second)

    def _forget_full_ones(self, now: float) -> None:
        if len(self._buckets) < _MOST_ORGS:
            return
        self._buckets = {
            org: bucket
            for org, bucket in self._buckets.items()
            if self._tokens(bucket, now) < self.burst
        }
