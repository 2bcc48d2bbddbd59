"""How much a client or an agent may tell one session, so that others always get through to it."""

from collections import Counter, OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

from domain.errors import TooManyRequests
from domain.ids import SessionKey
from domain.sessions.messages import AgentFailed

CHANGES_AT_ONCE = 2
"""Changes of one session that an API process makes at a time.

Temporal takes ten updates of a workflow at a time, and an agent's claim is one of them.
"""
FAILURES_PER_ATTEMPT = 20
"""Jobs of one attempt that may say that they failed; LiveKit starts one, rarely two."""
REMEMBERED_ATTEMPTS = 10_000
RETRY_SECONDS = 1


class ChangeLimits:
    """The changes of sessions that are being made right now."""

    def __init__(self) -> None:
        self._running: Counter[SessionKey] = Counter()

    @contextmanager
    def change(self, key: SessionKey) -> Generator[None]:
        """Count a change of the session for the block.

        Raises:
            TooManyRequests: as many as may run at a time are running.
        """
        if self._running[key] >= CHANGES_AT_ONCE:
            raise TooManyRequests(
                f"{CHANGES_AT_ONCE} other changes of session {key.session_id} are being made",
                retry_after=RETRY_SECONDS,
                cure="wait for the answer to one before you send the next",
            )
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]


class FailureLimits:
    """The jobs that said that they failed, by attempt; the attempts heard of last are kept."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[tuple[SessionKey, int], set[str]] = OrderedDict()

    def count(self, key: SessionKey, failure: AgentFailed) -> None:
        """Count a failure; the same one may be told as often as it takes.

        Raises:
            TooManyRequests: too many jobs of this attempt have failed.
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
