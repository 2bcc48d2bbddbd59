"""Take in agents' reports: store them first, then tell their sessions."""

from dataclasses import dataclass
from datetime import datetime

from domain.errors import Conflict, EverlineError, InvalidInput, NotFound
from domain.ids import SessionKey
from domain.sessions.messages import ReportReceived
from domain.sessions.ports import Sessions
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.external_report import ForeignReport
from domain.transcripts.transcript import AgentReport, Role
from services.sessions.control import SessionControl
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts


@dataclass
class ReportIntake:
    """Takes in reports of Everline's agent worker and of external agents."""

    sessions: Sessions
    control: SessionControl
    transcripts: Transcripts | None
    retention: Retention | None

    async def take(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        """Store a report and signal its session.

        Returns:
            Whether it is kept: not without MongoDB, and not after the transcript was deleted.

        The session is told even if the report could not be stored, so that it ends in time; the
        error then makes the agent keep the report in its spool.

        Raises:
            Unavailable: not stored, or the session could not be told; to be sent again.
            InvalidInput: too large or too deep to be stored; its turns are.
        """
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
                # Only an attempt's first report tells the session anything.
                event_id=f"report:{report.attempt}",
                attempt=report.attempt,
                digest=digest,
                end_reason=report.end_reason,
                turn_count=len(report.turns),
                caller_turns=sum(turn.role is Role.USER for turn in report.turns),
                stored=stored,
                error=(report.error or "")[:500] or None,
            ),
        )
        if failure:
            raise failure
        return stored

    async def take_by_room(
        self, report: AgentReport | ForeignReport, now: datetime
    ) -> tuple[SessionKey, bool]:
        """Take the report of an agent without a token: its session is found by the room's name.

        Returns:
            The session, and whether the report is stored.

        Raises:
            InvalidInput: the report names no room.
            NotFound: there is no session in that room.
            Conflict: the session does not wait for the report of such an agent.
            Unavailable: not stored, or the session could not be told; to be sent again.
        """
        external = report if isinstance(report, ForeignReport) else _as_external(report)
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
        _check_that_it_waits(status)
        return key, await self.take(key, external.report(status.attempt, now), now)

    async def _store(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        if self.transcripts is None:
            return False
        await self.transcripts.record_report(key, report, now)
        return not (self.retention and await self.retention.drop_late(key, report.recording))


def _as_external(report: AgentReport) -> ForeignReport:
    """A report in our own shape, from an agent that has no token: it is trusted no further."""
    return ForeignReport.model_validate(report.model_dump())


def _check_that_it_waits(status: SessionStatus) -> None:
    waits = status.state in (SessionState.LIVE, SessionState.ENDING) and status.foreign_agent
    if not waits or status.report_received:
        raise Conflict(
            "the session in this room does not wait for a report without a callback token",
            field="room",
            cure="only a session whose agent is not Everline's takes one, once, until it has ended",
        )
