"""Delivery of an entry's records to the API, in order; refused records are set aside."""

from functools import partial

import structlog

from agent.callbacks import CallbackClient, CallbackError, Refused, Unavailable
from agent.spool.disk import Disk, DiskHangs
from agent.spool.entry import SpoolEntry
from agent.spool.record import Pending, RecordKind

log = structlog.stdlib.get_logger(__name__)

_BATCH = 50
_WHOLE_ENTRY = 100_000
"""More records than a day of conversation has."""


class EntryRefused(Exception):
    """The API refuses this session or its token: nothing of the entry can be delivered."""


class Delivery:
    """Sends what an entry holds; the caller decides when to try again.

    A call passes its `disk`, whose work is limited in time. Without one, disk work has no time
    limit: an entry must not be released while a thread works on it.
    """

    def __init__(self, entry: SpoolEntry, client: CallbackClient, disk: Disk | None = None) -> None:
        self._entry = entry
        self._client = client
        self._disk = disk or Disk(None)

    async def deliver_pending(self) -> None:
        """Deliver all records on the disk, or while it hangs those in memory.

        Raises:
            Unavailable: the API or the disk cannot be used now; the rest stays in the entry.
            EntryRefused: the rest was moved to `rejected/`, the entry is gone.
        """
        while batch := await self._pending(_BATCH):
            for group in _groups(batch):
                try:
                    await self._deliver(group)
                except Unavailable:
                    if group[0].record.kind is not RecordKind.REPORT:
                        await self._announce_report()
                    raise

    async def _pending(self, limit: int) -> list[Pending]:
        try:
            return await self._disk.ask(partial(self._entry.pending, limit))
        except DiskHangs as error:
            held = self._entry.held()[:limit]
            if not held:
                raise
            log.error("spool_hangs", entry=self._entry.path.name, error=str(error))
            return [Pending(record, None) for record in held]

    async def _announce_report(self) -> None:
        """Send the report although turns before it are not accepted yet.

        While MongoDB is down the API still signals the session about a report that it cannot
        store, so the call ends in time. The entry keeps everything, and it is sent again in order.
        """
        for pending in await self._pending(_WHOLE_ENTRY):
            if pending.record.kind is RecordKind.REPORT:
                try:
                    await self._client.report(pending.record.body)
                except CallbackError as error:
                    log.info("report_announced", entry=self._entry.path.name, answer=str(error))

    async def _deliver(self, group: list[Pending]) -> None:
        try:
            await self._send(group)
        except Refused as refused:
            if refused.concerns_all:
                log.error("spool_entry_refused", entry=self._entry.path.name, reason=str(refused))
                await self._disk.ask(partial(self._entry.reject, str(refused)))
                raise EntryRefused(str(refused)) from refused
            if len(group) > 1:
                # One bad turn must not reject its neighbours.
                for pending in group:
                    await self._deliver([pending])
                return
            log.error("spool_record_refused", entry=self._entry.path.name, reason=str(refused))
            record = group[0].record
            await self._disk.ask(partial(self._entry.set_aside, record, str(refused)))
        self._entry.ack(group)
        if any(pending.end is not None for pending in group):
            await self._disk.ask(partial(self._entry.advance, group))

    async def _send(self, group: list[Pending]) -> None:
        bodies = [pending.record.body for pending in group]
        if group[0].record.kind is RecordKind.REPORT:
            await self._client.report(bodies[0])
        else:
            await self._client.add_turns(self._entry.target.session_id, bodies)


def _groups(batch: list[Pending]) -> list[list[Pending]]:
    """Consecutive turns are sent together, a report alone."""
    groups: list[list[Pending]] = []
    for pending in batch:
        is_turn = pending.record.kind is RecordKind.TURN
        if is_turn and groups and groups[-1][0].record.kind is RecordKind.TURN:
            groups[-1].append(pending)
        else:
            groups.append([pending])
    return groups
