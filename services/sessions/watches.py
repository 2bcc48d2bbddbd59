"""Watch sessions: each is polled once for all its watchers in this process."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from domain.errors import TooManyRequests
from domain.ids import SessionKey
from domain.sessions.session import SessionStatus
from domain.transcripts.transcript import StoredTurn

POLL_SECONDS = 0.5
FULL_SECONDS = 5
"""Retry-After of a refused stream, seconds."""


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment; a part that is unavailable is None."""

    status: SessionStatus | None
    turns: Sequence[StoredTurn] | None
    """All of them in order, also replaced ones."""


TakeSnapshot = Callable[[], Awaitable[Snapshot]]


class SessionWatches:
    """The watched sessions, and how many streams each org has.

    Several API processes each allow the whole number.
    """

    def __init__(self, most_per_org: int) -> None:
        """Limit each org to this many concurrent streams; 0 means no limit."""
        self._most_per_org = most_per_org
        self._streams: Counter[str] = Counter()
        self._watched: dict[SessionKey, _Watched] = {}

    @contextmanager
    def place(self, org: str) -> Generator[None]:
        """Reserve one of the org's streams for the block.

        Raises:
            TooManyRequests: the org has reached its limit.
        """
        if self._most_per_org and self._streams[org] >= self._most_per_org:
            raise TooManyRequests(
                f"the org has reached its limit of {self._most_per_org} open event streams",
                retry_after=FULL_SECONDS,
                cure="close a stream, or raise EVERLINE_EVENT_STREAMS_PER_ORG",
            )
        self._streams[org] += 1
        try:
            yield
        finally:
            self._streams[org] -= 1
            if not self._streams[org]:
                del self._streams[org]

    @contextmanager
    def watch(
        self, key: SessionKey, take_snapshot: TakeSnapshot
    ) -> Generator[AsyncGenerator[Snapshot]]:
        """Poll a session for the block, together with its other watchers.

        Yields:
            The snapshots, without an end; the same one again while nothing changes. They raise what
            `take_snapshot` raises.
        """
        watched = self._watched.get(key)
        if watched is None or watched.failed:
            watched = self._watched[key] = _Watched(take_snapshot)
        watched.watchers += 1
        try:
            yield watched.snapshots()
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                watched.stop()
                if self._watched.get(key) is watched:
                    del self._watched[key]


class _Watched:
    """One session, polled from its first watcher to its last."""

    def __init__(self, take_snapshot: TakeSnapshot) -> None:
        self.watchers = 0
        self.failed = False
        self._take_snapshot = take_snapshot
        self._latest: Snapshot | None = None
        self._next = _unanswered()
        # It outlives the request that starts it, so it must not inherit that request's log fields.
        self._polling = asyncio.create_task(self._poll(), context=contextvars.Context())
        self._polling.add_done_callback(self._pass_on_failure)

    def stop(self) -> None:
        self._polling.cancel()

    async def snapshots(self) -> AsyncGenerator[Snapshot]:
        if self._latest and not self.failed:
            yield self._latest
        while True:
            # Shielded: a watcher that leaves must not cancel the others' snapshot.
            yield await asyncio.shield(self._next)

    async def _poll(self) -> None:
        while True:
            snapshot = await self._take_snapshot()
            if self._latest is None or snapshot != self._latest:
                self._latest = snapshot
            done, self._next = self._next, _unanswered()
            done.set_result(self._latest)
            await asyncio.sleep(POLL_SECONDS)

    def _pass_on_failure(self, polling: asyncio.Task[None]) -> None:
        """Raise the error in every current watcher; later watchers start again."""
        error = None if polling.cancelled() else polling.exception()
        if error:
            self.failed = True
            self._next.set_exception(error)
            # Read here: the last watcher may have gone meanwhile.
            self._next.exception()


def _unanswered() -> asyncio.Future[Snapshot]:
    return asyncio.get_running_loop().create_future()
