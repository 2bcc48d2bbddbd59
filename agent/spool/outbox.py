"""The job's side of the spool: records go to the disk first, then to the API, in order.

A disk that cannot be written (full, read-only, gone, hanging) ends no call: the records are held in
memory, delivered from there, and written once the disk accepts them again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient, Unavailable
from agent.spool.delivery import Delivery, EntryRefused
from agent.spool.disk import Disk, DiskHangs
from agent.spool.entry import SpoolEntry
from agent.spool.record import Pending, Record

log = structlog.stdlib.get_logger(__name__)


class Outbox:
    """Accepts records without blocking, writes them in a thread, and delivers them."""

    def __init__(self, entry: SpoolEntry, client: CallbackClient) -> None:
        self.entry = entry
        self._disk = Disk()
        self._queue: deque[Pending] = deque()
        self._delivery = Delivery(entry, client, self._queue, self._disk)
        self._writes: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._sender = asyncio.create_task(self._send_until_closed(), name="spool_sender")

    async def open(self) -> None:
        """Write the entry to the disk; if that is impossible now, it happens later."""
        await self._try(self.entry.open)

    def put(self, record: Record) -> None:
        """Append a record without blocking, so it may be called from the audio path."""
        pending = Pending(record)
        self._queue.append(pending)
        write = asyncio.create_task(self._write(pending))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def close(self, grace: float) -> bool:
        """Write everything, try to deliver it within `grace` seconds, and release the entry.

        Returns:
            Whether everything is delivered. If not, or if the disk hangs, the entry stays for the
            server's drainer.
        """
        if self._writes:
            await asyncio.wait(self._writes, timeout=grace)
        self._closing.set()
        self._changed.set()
        delivered, _ = await asyncio.wait({self._sender}, timeout=grace)
        self._sender.cancel()
        name = self.entry.path.name
        try:
            if delivered:
                await self._disk.ask(self.entry.leave)
                return True
            await self._disk.ask(partial(self.entry.save, list(self._queue)))
            self.entry.release()
        except DiskHangs as error:
            # Keep the lock until this process ends: a thread may still be writing.
            log.error("spool_hangs", entry=name, error=str(error))
        if lost := sum(each.end is None for each in self._queue):
            log.error("spool_records_lost", entry=name, records=lost)
        else:
            log.warning("spool_left_to_the_drainer", entry=name)
        return False

    async def _write(self, pending: Pending) -> None:
        await self._save()
        pending.sendable = True
        self._changed.set()

    async def _save(self) -> None:
        await self._try(partial(self.entry.save, list(self._queue)))

    async def _try(self, work: Callable[[], None]) -> None:
        try:
            await self._disk.ask(work)
        except DiskHangs as error:
            log.error("spool_hangs", entry=self.entry.path.name, error=str(error))
        except Exception:
            # The records are delivered from memory.
            log.exception("spool_write_failed", entry=self.entry.path.name)

    async def _send_until_closed(self) -> None:
        backoff = Backoff()
        while self._queue or not self._closing.is_set():
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._delivery.deliver_pending()
                backoff.succeeded()
                continue
            except EntryRefused:
                # The entry has set the queue aside, and does so with what comes later.
                return
            except Unavailable as error:
                log.warning("spool_delivery_delayed", entry=self.entry.path.name, why=str(error))
            except Exception:
                # Unexpected; the records are still in the queue.
                log.exception("spool_delivery_failed", entry=self.entry.path.name)
            await self._save()
            pause = backoff.next_pause()
            if self._closing.is_set():
                await asyncio.sleep(pause)
            else:
                # `close`, with its short grace, ends a long pause.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), pause)
            self._changed.set()
