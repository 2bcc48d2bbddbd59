"""The job's side of the spool: records go to the disk first, then to the API, in order."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient, Unavailable
from agent.spool.delivery import Delivery, EntryRefused
from agent.spool.disk import DISK_SECONDS, Disk, DiskHangs
from agent.spool.entry import SpoolEntry
from agent.spool.record import Record

log = structlog.stdlib.get_logger(__name__)


class Outbox:
    """Accepts records without blocking, writes them in a thread, and delivers them."""

    def __init__(self, entry: SpoolEntry, client: CallbackClient) -> None:
        self._entry = entry
        self._disk = Disk()
        self._delivery = Delivery(entry, client, self._disk)
        # One thread: the order of the records is the order of the calls.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._unwritten: set[asyncio.Future[int]] = set()
        self._written = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._refusal: str | None = None
        self._sender = asyncio.create_task(self._send_forever(), name="spool_sender")

    async def open(self) -> None:
        """Write the entry to the disk; a hanging disk gets it later."""
        try:
            await self._disk.ask(self._entry.open)
        except DiskHangs as error:
            log.error("spool_hangs", entry=self._entry.path.name, error=str(error))

    def put(self, record: Record) -> None:
        """Append a record without blocking, so it may be called from the audio path."""
        self._idle.clear()
        self._entry.hold(record)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._writer, self._entry.save)
        self._unwritten.add(future)
        future.add_done_callback(self._note_written)
        loop.call_later(DISK_SECONDS, self._deliver_unwritten, future)

    async def close(self, grace: float) -> bool:
        """Write everything, try to deliver it within `grace` seconds, and release the entry.

        Returns:
            Whether everything is delivered. If not, the entry stays for the server's drainer.
        """
        if self._unwritten:
            # A hanging disk must not delay the end of the job.
            await asyncio.wait(self._unwritten, timeout=grace)
        self._hurry.set()
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            await self._leave_behind()
            return False
        finally:
            self._sender.cancel()
            self._writer.shutdown(wait=False)
        if self._refusal is None:
            try:
                await self._disk.ask(self._entry.leave)
            except DiskHangs:
                log.warning("spool_left_to_the_drainer", entry=self._entry.path.name)
        return True

    async def _leave_behind(self) -> None:
        name = self._entry.path.name
        try:
            lost = await self._disk.ask(self._entry.save)
            self._entry.release()
        except DiskHangs:
            # Keep the lock until this process ends: a thread may still be writing.
            lost = len(self._entry.held())
        if lost:
            log.error("spool_records_lost", entry=name, records=lost)
        else:
            log.warning("spool_left_to_the_drainer", entry=name)

    def _deliver_unwritten(self, future: asyncio.Future[int]) -> None:
        """Deliver a record from memory that the disk has neither accepted nor refused."""
        if not future.done():
            self._written.set()

    def _note_written(self, future: asyncio.Future[int]) -> None:
        self._unwritten.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            log.error("spool_write_failed", entry=self._entry.path.name, error=str(error))
        if self._refusal is None:
            self._written.set()
        else:
            self._idle.set()

    async def _send_forever(self) -> None:
        backoff = Backoff()
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await self._delivery.deliver_pending()
                backoff.succeeded()
                if not self._unwritten and not self._written.is_set():
                    self._idle.set()
            except (Unavailable, OSError) as error:
                # OSError: the disk cannot be read now.
                log.warning("spool_delivery_delayed", entry=self._entry.path.name, why=str(error))
                await self._pause(backoff.next_pause())
                self._written.set()
            except EntryRefused as refused:
                self._refusal = str(refused)
                self._idle.set()
                return
            except Exception:
                # Unexpected; the records are still in the entry.
                log.exception("spool_delivery_failed", entry=self._entry.path.name)
                await self._pause(backoff.next_pause())
                self._written.set()

    async def _pause(self, seconds: float) -> None:
        """Wait before the next try; `close`, with its short grace, interrupts one wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self._hurry.clear()
