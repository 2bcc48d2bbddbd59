"""Delivery of an entry's records to the API, in order; refused records are set aside."""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Any

import structlog

from agent.callbacks import CallbackClient, CallbackError, Refused, TooLarge, Unavailable
from agent.report_size import shortened, size_of
from agent.spool.disk import Disk
from agent.spool.entry import SpoolEntry
from agent.spool.record import Pending, Record, RecordKind

log = structlog.stdlib.get_logger(__name__)

_BATCH = 50
PAUSES = (0.5, 1.5)
"""Seconds before a report is sent again whole, if a proxy does not say that it is too large: it may
be an outage."""


class EntryRefused(Exception):
    """The API refuses this session or its token: nothing of the entry can be delivered."""


@dataclass
class Delivery:
    """Sends the records of an entry from a queue; the caller decides when to try again.

    A call passes a `disk` whose work is limited in time; the drainer one without a limit, because
    an entry must not be released while a thread works on it.
    """

    entry: SpoolEntry
    client: CallbackClient
    queue: deque[Pending]
    disk: Disk

    async def deliver_pending(self) -> None:
        """Deliver the records at the head of the queue that may be sent, and remove them from it.

        Raises:
            Unavailable: the API or the disk cannot be used now; the rest stays in the queue.
            EntryRefused: the rest was moved to `rejected/`, the entry is gone.
        """
        while group := self._next_group():
            try:
                await self._deliver(group)
            except Unavailable:
                if group[0].record.kind is not RecordKind.REPORT:
                    await self._announce_report()
                raise

    def _next_group(self) -> list[Pending]:
        """Consecutive turns are sent together, a report alone."""
        ready = list(takewhile(lambda each: each.sendable, islice(self.queue, _BATCH)))
        turns = list(takewhile(lambda each: each.record.kind is RecordKind.TURN, ready))
        return turns or ready[:1]

    async def _announce_report(self) -> None:
        """Send the report although turns before it are not accepted yet.

        While MongoDB is down the API still signals the session about a report that it cannot
        store, so the call ends in time. The entry keeps everything, and it is sent again in order.
        """
        for each in list(self.queue):
            if each.sendable and each.record.kind is RecordKind.REPORT:
                try:
                    await self._send_report(each.record.body, with_turns=False)
                except CallbackError as error:
                    log.info("report_announced", entry=self.entry.path.name, answer=str(error))

    async def _deliver(self, group: list[Pending]) -> None:
        await self._send(group)
        for _ in group:
            self.queue.popleft()
        if any(each.end for each in group):
            await self.disk.ask(partial(self.entry.advance, group))

    async def _send(self, group: list[Pending]) -> None:
        """Hand in the records; those that are refused are set aside.

        Raises:
            TooLarge: a record is too large by itself. It is kept, because the limit of a proxy may
                be temporary.
        """
        try:
            if group[0].record.kind is RecordKind.REPORT:
                await self._send_report(group[0].record.body, with_turns=True)
            else:
                turns = [each.record.body for each in group]
                await self.client.add_turns(self.entry.target.session_id, turns)
            return
        except TooLarge:
            if len(group) == 1:
                raise
        except Refused as refused:
            reason = str(refused)
            if refused.concerns_all:
                log.error("spool_entry_refused", entry=self.entry.path.name, reason=reason)
                await self.disk.ask(partial(self.entry.reject, list(self.queue), reason))
                raise EntryRefused(reason) from refused
            if len(group) == 1:
                log.error("spool_record_refused", entry=self.entry.path.name, reason=reason)
                await self.disk.ask(partial(self.entry.set_aside, group, reason))
                return
        # One bad turn must not reject its neighbours, and turns may fit one by one.
        half = len(group) // 2
        await self._send(group[:half])
        await self._send(group[half:])

    async def _send_report(self, report: dict[str, Any], *, with_turns: bool) -> None:
        """Hand in a report, cut to half its size as often as it is too large.

        Turns that are cut from it are sent before it, if `with_turns`.

        Raises:
            TooLarge: it cannot be cut any further.
        """
        cut, pauses = report, list(PAUSES)
        while True:
            try:
                await self.client.report(cut)
                return
            except TooLarge as error:
                if not error.certain and pauses:
                    await asyncio.sleep(pauses.pop(0))
                    continue
                size = size_of(cut)
                shorter = shortened(cut, size // 2)
                if size_of(shorter) >= size:
                    raise
            left_out = shorter["left_out"]
            log.warning("report_cut", entry=self.entry.path.name, bytes=size, left_out=left_out)
            if with_turns and "turns" not in shorter:
                await self._send_cut_turns(cut.get("turns", []))
            cut = shorter

    async def _send_cut_turns(self, turns: list[dict[str, Any]]) -> None:
        # Only the report is on the disk: an interrupted delivery begins with it again.
        cut = [Pending(Record(kind=RecordKind.TURN, body=turn), end=0) for turn in turns]
        for start in range(0, len(cut), _BATCH):
            await self._send(cut[start : start + _BATCH])
