"""Limits on messages to one session, so that no client or agent can block the others."""

from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

from domain.errors import TooManyRequests
from domain.ids import SessionKey
from domain.sessions.messages import AgentFailed

CHANGES_AT_ONCE = 2
"""Concurrent changes of one session per API process; Temporal allows ten, claims included."""
FAILURES_PER_ATTEMPT = 20
"""Jobs of one attempt that may report a failure; LiveKit starts one, rarely two."""
REMEMBERED_ATTEMPTS = 10_000
RETRY_SECONDS = 1


class ChangeLimits:
    """The changes of sessions in progress."""

    def __init__(self) -> None:
        self._running: Counter[SessionKey] = Counter()

    @contextmanager
    def change(self, key: SessionKey) -> Generator[None]:
        """Count a change of the session during the block.

        Raises:
            TooManyRequests: the limit is reached.
        """
        if self._running[key] >= CHANGES_AT_ONCE:
            raise TooManyRequests(
                f"{CHANGES_AT_ONCE} other changes of session {key.session_id} are in progress",
                retry_after=RETRY_SECONDS,
                cure="wait for one answer before sending the next",
            )
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]


class FailureLimits:
    """The failed jobs by attempt, of the most recent attempts."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[SessionKey, int], set[str]] = OrderedDict()

    def count(self, key: SessionKey, failure: AgentFailed) -> None:
        """Count a failure; repeating the same one is fine.

        Raises:
            TooManyRequests: too many other jobs of this attempt have failed.
        """
        attempt = (key, failure.attempt)
        jobs = self._jobs.setdefault(attempt, set())
        self._jobs.move_to_end(attempt)
        if len(self._jobs) > REMEMBERED_ATTEMPTS:
            self._jobs.popitem(last=False)
        if failure.event_id in jobs:
            return
        if len(jobs) >= FAILURES_PER_ATTEMPT:
            raise TooManyRequests(
                f"{FAILURES_PER_ATTEMPT} jobs of attempt {failure.attempt} have failed already",
                retry_after=RETRY_SECONDS,
                field="job_id",
            )
        jobs.add(failure.event_id)
