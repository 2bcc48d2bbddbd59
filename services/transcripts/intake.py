"""Take in agents' reports: store each, then signal its session."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from domain.errors import Conflict, EverlineError, InvalidInput, NotFound, StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.messages import ReportReceived
from domain.sessions.ports import Sessions
from domain.sessions.session import SessionState
from domain.transcripts.external_report import ForeignReport
from domain.transcripts.transcript import AgentReport, Role
from services.sessions.control import SessionControl
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts

log = structlog.get_logger()


@dataclass
class ReportIntake:
    """Takes in reports of Everline's agent worker and of external agents."""

    sessions: Sessions
    control: SessionControl
    transcripts: Transcripts | None
    retention: Retention | None

    async def take(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        """Store a report and signal its session.

        The session is signalled even if the report could not be stored, so that it ends in time.
        The error then makes the agent keep the report in its spool.

        Returns:
            Whether the report is kept: not without MongoDB, nor if the transcript was deleted.

        Raises:
            Unavailable: it was not stored, or the session not signalled; it has to be sent again.
            InvalidInput: it is too large to be stored; its turns were stored.
            TooManyReports: its attempt's agent sends ever different ones; its turns were stored.
        """
        if report.unreadable:
            log.warning(
                "a report has unreadable values",
                org=key.org,
                session=key.session_id,
                attempt=report.attempt,
                values=len(report.unreadable),
            )
        failure: EverlineError | None = None
        stored = False
        try:
            stored = await self._store(key, report, now)
        except EverlineError as error:
            failure = error
        digest = report.digest()
        await self.sessions.signal(
            key,
            ReportReceived(
                # The session needs only the first report of each attempt.
                event_id=f"report:{report.attempt}",
                attempt=report.attempt,
                digest=digest,
                end_reason=report.end_reason,
                turn_count=len(report.turns),
                caller_turns=_caller_turns(report),
                stored=stored,
                error=(report.error or "")[:500] or None,
                unanswered=report.unanswered,
                undelivered_turn=report.turns[-1].item_id if failure and report.turns else None,
            ),
        )
        if failure:
            raise failure
        return stored

    async def require_closed(self, key: SessionKey) -> None:
        """Return if a deleted transcript is that of a closed session, as every deletion requires.

        Raises:
            Unavailable: it is an earlier session's with the same id, or nobody knows; send again.
        """
        if await self.sessions.is_open(key):
            raise StorageUnavailable(
                "the session's record is not stored yet, only that an earlier one was deleted",
                cure="send it again later; for new sessions, use ids that were not used before",
            )

    async def take_by_room(
        self, report: AgentReport | ForeignReport, now: datetime
    ) -> tuple[SessionKey, bool]:
        """Store the report of an agent without a token, whose room's name identifies the session.

        Returns:
            The session, and whether the report is stored.

        Raises:
            InvalidInput: the report names no room.
            NotFound: there is no session in that room.
            Conflict: the session does not wait for a report of an external agent.
            Unavailable: it was not stored, or the session not signalled; it has to be sent again.
        """
        # A report in our own format is trusted no further without a token.
        external = (
            report
            if isinstance(report, ForeignReport)
            else ForeignReport.model_validate(report.model_dump())
        )
        room = external.room_name()
        if not room:
            raise InvalidInput(
                "a report without a callback token has to name its room",
                field="room",
                cure="send LiveKit's name of the room as `room`",
            )
        key = await self.control.by_livekit_room(room)
        if key is None:
            raise NotFound("there is no session in this room", field="room")
        status = await self.sessions.status(key)
        waits = status.state in (SessionState.LIVE, SessionState.ENDING) and status.foreign_agent
        if not waits or status.report_received:
            raise Conflict(
                "the session in this room does not wait for a report without a callback token",
                field="room",
                cure="only a session with an external agent accepts one, once, until it has ended",
            )
        # An older worker's status does not tell which attempt has joined.
        attempt = status.joined_attempt or status.attempt
        return key, await self.take(key, external.report(attempt, now), now)

    async def _store(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        if self.transcripts is None:
            return False
        await self.transcripts.record_report(key, report, now)
        deleted = self.retention and await self.retention.drop_late(key, report.recording)
        if deleted:
            await self.require_closed(key)
        return not deleted


def _caller_turns(report: AgentReport) -> int | None:
    """The caller's turns in the report; None if it had to leave its turns out."""
    if "turns" in report.left_out:
        return None
    return sum(turn.role is Role.USER for turn in report.turns)
