"""Exponential back-off with jitter, so that agents do not retry at the same time."""

import random


class Backoff:
    """The pauses between tries: doubling from `first` up to `longest`, seconds."""

    def __init__(self, first: float = 0.2, longest: float = 5.0) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next_pause(self) -> float:
        """Seconds to wait after another failure, between half and all of the step."""
        step = min(self._first * 2**self._failures, self._longest)
        self._failures = min(self._failures + 1, 30)
        return step * random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Start again from the shortest pause."""
        self._failures = 0
