"""A circuit breaker: after several failures in a row, a service gets a pause."""

import math
import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens for `seconds` after `failures` failures in a row; then one trial request decides."""

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None

    def wait_seconds(self) -> int:
        """0 if the service may be called, else the seconds until the next trial request.

        The caller that gets 0 after a pause makes the trial request; the others wait for it.
        """
        left = self.seconds_left()
        if not left and self._open_until is not None:
            self._open_until = self._clock() + self._seconds
        return left

    def seconds_left(self) -> int:
        """As `wait_seconds`, without claiming the trial request."""
        left = 0.0 if self._open_until is None else self._open_until - self._clock()
        return math.ceil(max(left, 0))

    def succeeded(self) -> None:
        """The service answered."""
        self._failures = 0
        self._open_until = None

    def failed(self) -> None:
        """The service did not answer, or not usably."""
        self._failures += 1
        if self._failures >= self._most:
            self._open_until = self._clock() + self._seconds
