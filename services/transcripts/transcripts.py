"""Record turns and reports, and seal a session's transcript."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, belongs_to, latest
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.pricing import PriceTable, built_in_prices, estimate
from domain.transcripts.transcript import (
    AgentReport,
    Role,
    StoredTurn,
    TooManyReports,
    TranscriptFull,
    TranscriptHeader,
    Turn,
    transcript_digest,
)
from domain.transcripts.usage import call_latency, total_usage
from services.transcripts.following import TurnFollower

log = structlog.get_logger()

_ROUNDS = 20
"""How often a header is rewritten because more turns or reports arrived."""


@dataclass(frozen=True)
class Recorded:
    """The result of storing turns."""

    stored: int
    duplicates: int
    dropped: bool = False
    """The transcript was deleted, so the turns were not stored."""


class Transcripts:
    """Appends turns and reports, whatever their attempt and however late.

    The header is derived from them and renewed when late ones arrive. A writer of turns checks for
    a header afterwards, and a writer of a header checks the turns and reports afterwards, so that
    one of them always sees the other's write.
    """

    def __init__(self, archive: TranscriptArchive, prices: PriceTable | None = None) -> None:
        self._archive = archive
        self._prices = prices or built_in_prices()

    async def record_turns(self, key: SessionKey, turns: Sequence[Turn], now: datetime) -> Recorded:
        """Store turns, once each however often they are sent.

        Raises:
            TranscriptFull: the session has reached a limit; those that fit are stored.
            Unavailable: MongoDB did not acknowledge the write.
        """
        try:
            stored = await self._archive.add_turns(key, turns)
        except TranscriptFull:
            await self._renew_header(key, now)
            raise
        if stored is None:
            return Recorded(0, 0, dropped=True)
        # Also without new turns: they may be revised, or an earlier delivery may have failed here.
        await self._renew_header(key, now)
        return Recorded(stored, len(turns) - stored)

    async def record_report(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        """Store a report and its turns; False if the same report is already stored.

        Turns over the session's limit are in the stored report alone, and the header counts them.

        Raises:
            TooManyReports: its turns are stored, but not the report itself.
            Unavailable: MongoDB did not acknowledge the write.
        """
        # Turns first: once the report is stored, its attempt counts as complete.
        try:
            await self._archive.add_turns(key, report.turns, reported=True)
        except TranscriptFull as full:
            log.error(
                "reported turns are not in the transcript",
                org=key.org,
                session=key.session_id,
                attempt=report.attempt,
                reason=full.in_full(),
            )
        try:
            new = await self._archive.add_report(key, report)
        except TooManyReports:
            await self._renew_header(key, now)
            raise
        if _replaces_heard_turns(report):
            await self._archive.replace_heard(key, report.attempt)
        await self._renew_header(key, now)
        return new

    async def record_recording(
        self, key: SessionKey, recording: CallRecording, now: datetime
    ) -> None:
        """Store the state of a recording; `stored` is final.

        Raises:
            Unavailable: MongoDB did not acknowledge the write.
        """
        await self._archive.put_recording(key, recording)
        await self._renew_header(key, now)

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """The session's recordings, sorted by attempt."""
        return await self._recordings(key, await self._archive.reports(key))

    async def _recordings(
        self, key: SessionKey, reports: Sequence[AgentReport]
    ) -> list[CallRecording]:
        reported = [report.recording for report in reports]
        known = await self._archive.recordings(key)
        every = [*(one for one in reported if one), *known]
        return latest([one for one in every if belongs_to(one, key)])

    async def turns(self, key: SessionKey) -> list[Turn]:
        """The transcript so far, in order."""
        return await self._archive.turns(key)

    def follow(self, key: SessionKey) -> TurnFollower:
        """The turns as they change, also those that reports replaced."""
        return TurnFollower(self._archive, key)

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        """The reports of the session's agents, sorted by attempt."""
        return await self._archive.reports(key)

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The header of a sealed transcript."""
        return await self._archive.header(key)

    async def seal(
        self, key: SessionKey, agent_id: str | None, last_attempt: int, now: datetime
    ) -> TranscriptHeader:
        """Write the transcript's header; complete only with the last attempt's report.

        An unreadable report counts, because its turns were stored before it.

        Raises:
            Unavailable: MongoDB did not acknowledge the write, or turns and reports arrive faster
                than it is written; call again.
        """
        for _ in range(_ROUNDS):
            kept = await self._archive.kept_reports(key)
            reports = kept.readable
            for report in filter(_replaces_heard_turns, reports):
                # The listener may have written a turn after the report arrived.
                await self._archive.replace_heard(key, report.attempt)
            stored = TurnFollower(self._archive, key)
            known = await stored.turns()
            turns = _kept(known)
            usage = total_usage(one for last in _last_of_jobs(reports) for one in last.usage)
            calls = [call for last in _last_of_jobs(reports) for call in last.tool_calls]
            header = TranscriptHeader(
                org=key.org,
                session_id=key.session_id,
                agent_id=agent_id,
                complete=last_attempt in kept.attempts,
                turn_count=len(turns),
                attempts=last_attempt,
                digest=transcript_digest(turns),
                interruptions=sum(t.interrupted and t.role is Role.ASSISTANT for t in turns),
                tool_calls=len(calls),
                tool_errors=sum(call.ok is False for call in calls),
                usage=usage,
                cost=estimate(usage, self._prices),
                latency=call_latency([turn.metrics for turn in turns]),
                recordings=await self._recordings(key, reports),
                turns_left_out=_left_out(known, reports),
                unreadable_reports=kept.unreadable,
                sealed_at=now,
                updated_at=now,
            )
            await self._archive.put_header(header)
            same_turns = transcript_digest(_kept(await stored.turns())) == header.digest
            if same_turns and await self._archive.report_ids(key) == kept.ids:
                return header
        raise StorageUnavailable("the transcript was not sealed: turns and reports keep arriving")

    async def _renew_header(self, key: SessionKey, now: datetime) -> None:
        header = await self._archive.header(key)
        if header is not None:
            await self.seal(key, header.agent_id, header.attempts, now)


def _kept(stored: Sequence[StoredTurn]) -> list[Turn]:
    return [one.turn for one in stored if not one.replaced]


def _left_out(stored: Sequence[StoredTurn], reports: Sequence[AgentReport]) -> int:
    """How many reported turns are not stored."""
    known = {(one.turn.attempt, one.turn.item_id) for one in stored}
    reported = {(turn.attempt, turn.item_id) for report in reports for turn in report.turns}
    return len(reported - known)


def _replaces_heard_turns(report: AgentReport) -> bool:
    """Whether this is an external agent's report with turns, which replace the listener's."""
    return report.foreign and bool(report.turns)


def _last_of_jobs(reports: Sequence[AgentReport]) -> list[AgentReport]:
    """The last report of each agent, which includes the counts of earlier ones."""
    return list({(report.attempt, report.job_id): report for report in reports}.values())
