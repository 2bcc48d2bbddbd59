"""Transcribe the calls of external agents, which send no turns, as a hidden participant."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.shares import UNLIMITED, OrgShares
from domain.errors import StorageUnavailable, Unavailable
from domain.ids import SessionKey
from domain.transcripts.listening import Heard, listener_identity
from domain.transcripts.ports import RoomListener
from domain.transcripts.transcript import TranscriptFull
from services.transcripts.transcripts import Transcripts

log = structlog.get_logger()

HEARTBEAT_SECONDS = 2.0
STORE_PAUSE = 2.0
"""Seconds until turns that MongoDB did not take are sent again."""
MOST_WAITING = 5_000
MOST_WAITING_CHARS = 4 * 1024 * 1024
"""Of the turns that MongoDB does not take at the moment; those that come then are not stored."""
LAST_TURNS_SECONDS = 5.0
"""How long storing the remaining turns may take once the call is over."""


class ListenToAgent(BaseModel):
    """The agent of one attempt whose turns to transcribe."""

    org: str
    session_id: str
    livekit_room: str
    attempt: int
    agent_identity: str

    @property
    def key(self) -> SessionKey:
        """The session whose turns they are."""
        return SessionKey(self.org, self.session_id)


class ListenActivities:
    """Without MongoDB (None) there is nowhere to write to."""

    def __init__(
        self,
        listener: RoomListener,
        transcripts: Transcripts | None,
        shares: OrgShares = UNLIMITED,
    ) -> None:
        self._listener = listener
        self._transcripts = transcripts
        self._shares = shares

    @activity.defn
    async def listen_to_agent(self, order: ListenToAgent) -> int:
        """Store what is said until the agent has left or the room is gone.

        Returns:
            How many turns were stored by this try.

        Raises:
            Unavailable: the room could not be joined, or the connection to it was lost. Or the org
                exceeds its share of the listeners; a try follows.
            ApplicationError: this worker is shutting down; another one continues.
        """
        if self._transcripts is None:
            raise StorageUnavailable(
                "the session was started with MongoDB, and this worker has none",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        with self._shares.slot_within_share(order.org):
            return await self._transcribe(order, _TurnWriter(self._transcripts, order))

    async def _transcribe(self, order: ListenToAgent, writer: "_TurnWriter") -> int:
        listening = asyncio.create_task(self._listen(order, writer))
        try:
            await _while_this_worker_runs(listening)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, Unavailable):
                await listening
            # Also after a cancel: what was said until then belongs in the transcript.
            await _shielded(writer.finish())
        log.info("agent heard", room=order.livekit_room, turns=writer.stored)
        return writer.stored

    async def _listen(self, order: ListenToAgent, writer: "_TurnWriter") -> None:
        identity = listener_identity(order.attempt)
        async with self._listener.listen(
            order.livekit_room, identity, order.agent_identity
        ) as heard:
            async for segment in heard:
                writer.put(segment)


async def _while_this_worker_runs(listening: asyncio.Task[None]) -> None:
    while not listening.done():
        activity.heartbeat()
        if activity.is_worker_shutdown():
            raise ApplicationError(
                "this worker is shutting down; another one continues", type="worker_stops"
            )
        await asyncio.wait([listening], timeout=HEARTBEAT_SECONDS)
    await listening


async def _shielded(work: Coroutine[Any, Any, None]) -> None:
    """Finish some bounded work even if this activity is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


class _TurnWriter:
    """Stores turns in order, and retries what MongoDB does not take."""

    def __init__(self, transcripts: Transcripts, order: ListenToAgent) -> None:
        self._transcripts = transcripts
        self._order = order
        self._unwritten: list[Heard] = []
        self._new = asyncio.Event()
        self._task = asyncio.create_task(self._write_forever())
        self.stored = 0
        self._lost = 0

    def put(self, segment: Heard) -> None:
        chars = len(segment.text) + sum(len(waiting.text) for waiting in self._unwritten)
        if len(self._unwritten) >= MOST_WAITING or chars > MOST_WAITING_CHARS:
            self._lost += 1
            return
        self._unwritten.append(segment)
        self._new.set()

    async def finish(self) -> None:
        """Store what is left, for a bounded time."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        try:
            async with asyncio.timeout(LAST_TURNS_SECONDS):
                await self._write_all()
        except TimeoutError:
            self._lost += len(self._unwritten)
        if self._lost:
            log.error("heard turns are lost", room=self._order.livekit_room, turns=self._lost)

    async def _write_forever(self) -> None:
        while True:
            await self._new.wait()
            self._new.clear()
            await self._write_all()

    async def _write_all(self) -> None:
        while True:
            if await self._write():
                return
            await asyncio.sleep(STORE_PAUSE)

    async def _write(self) -> bool:
        """Store the turns so far; False if MongoDB did not take them."""
        batch = list(self._unwritten)
        if not batch:
            return True
        turns = [segment.turn(self._order.attempt) for segment in batch]
        try:
            done = await self._transcripts.record_turns(self._order.key, turns, datetime.now(UTC))
            if done.dropped:
                # Sessions are deleted after their end, so it was an earlier one with the same id.
                log.warning("heard turns wait", room=self._order.livekit_room, reason="deleted")
                return False
            stored = done.stored
        except Unavailable as error:
            log.warning("heard turns wait", room=self._order.livekit_room, reason=error.message)
            return False
        except TranscriptFull as full:
            log.error(
                "heard turns are not stored",
                room=self._order.livekit_room,
                turns=full.left_out,
                reason=full.in_full(),
            )
            stored = len(batch) - full.left_out
        del self._unwritten[: len(batch)]
        self.stored += stored
        return True
