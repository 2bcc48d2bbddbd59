"""A circuit breaker: a service that failed several times in a row is left alone for a while."""

import math
import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row. Open: nobody asks; then one may try, and its result decides."""

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the limits.

        Args:
            failures: so many in a row open it.
            seconds: how long nobody asks.
            clock: monotonic seconds.
        """
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None

    def wait_seconds(self) -> int:
        """0 if the service may be asked; otherwise the seconds until somebody may try.

        Whoever gets 0 after the pause is the one who tries: the others wait for what comes of it.
        """
        until = self._open_until
        if until is None:
            return 0
        left = until - self._clock()
        if left > 0:
            return math.ceil(left)
        self._open_until = self._clock() + self._seconds
        return 0

    def seconds_left(self) -> int:
        """Seconds until somebody may try; 0 if it is not open. Asking for it changes nothing."""
        left = 0.0 if self._open_until is None else self._open_until - self._clock()
        return math.ceil(max(left, 0))

    def succeeded(self) -> None:
        """The service answered."""
        self._failures = 0
        self._open_until = None

    def failed(self) -> None:
        """The service did not answer, or not with anything that makes sense."""
        self._failures += 1
        if self._failures >= self._most:
            self._open_until = self._clock() + self._seconds
