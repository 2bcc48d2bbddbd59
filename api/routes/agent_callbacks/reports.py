"""Take in what agents send: stored first, then the session is told."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast

import structlog
from fastapi import Depends, Request
from pydantic import Discriminator, Tag

from api.dependencies import CallbackToken, Services, Wired, bearer_claims
from api.routes.sessions.rooms import session_in_room
from domain.errors import Conflict, EverlineError, Forbidden, InvalidInput, NotFound
from domain.ids import SessionKey
from domain.sessions.callback_token import CallbackClaims
from domain.sessions.messages import ReportReceived
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.external_report import ForeignReport
from domain.transcripts.transcript import AgentReport

log = structlog.get_logger()

OUR_REPORT, FOREIGN_REPORT = "everline-report", "foreign-report"


def agent_claims(request: Request, wired: Wired, _: CallbackToken) -> CallbackClaims:
    """The agent that makes this request, by its callback token."""
    return bearer_claims(request, wired, time.time())


AgentClaims = Annotated[CallbackClaims, Depends(agent_claims)]


def reporter_claims(request: Request, wired: Wired, _: CallbackToken) -> CallbackClaims | None:
    """The agent that reports; None for one without a token, where such are taken.

    Raises:
        Unauthenticated: no token, and reports without one are not taken; or not one of ours.
        Forbidden: expired.
    """
    if wired.unsigned_reports and "authorization" not in request.headers:
        return None
    return bearer_claims(request, wired, time.time())


ReporterClaims = Annotated[CallbackClaims | None, Depends(reporter_claims)]


def _shape(body: object) -> str:
    """Whose report a body is: ours name their attempt."""
    if isinstance(body, AgentReport):
        return OUR_REPORT
    ours = isinstance(body, Mapping) and "attempt" in cast(Mapping[str, Any], body)
    return OUR_REPORT if ours else FOREIGN_REPORT


AnyReport = Annotated[
    Annotated[AgentReport, Tag(OUR_REPORT)] | Annotated[ForeignReport, Tag(FOREIGN_REPORT)],
    Discriminator(_shape),
]
"""A report of our agent worker, or of any other agent in the shapes of LiveKit's SDKs."""


def check_attempt(allowed: int, attempt: int, field: str = "attempt") -> None:
    """Refuse a message about another attempt than the token's.

    Raises:
        Forbidden: naming both.
    """
    if attempt != allowed:
        raise Forbidden(f"the callback token is for attempt {allowed}, not {attempt}", field=field)


async def take_signed_report(
    wired: Services, claims: CallbackClaims, body: AgentReport | ForeignReport, now: datetime
) -> bool:
    """Take a report that comes with a callback token, in any shape.

    Raises:
        Forbidden: the report is of another attempt than the token.
        Unavailable: not stored, or the session could not be told; to be sent again.
        InvalidInput: too large or too deep to be stored; its turns are.
    """
    report = body if isinstance(body, AgentReport) else body.report(claims.attempt, now)
    check_attempt(claims.attempt, report.attempt)
    for turn in report.turns:
        check_attempt(claims.attempt, turn.attempt, "turns.attempt")
    return await take_report(wired, claims.key, report, now)


async def take_unsigned_report(
    wired: Services, body: AgentReport | ForeignReport, now: datetime
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
    foreign = body if isinstance(body, ForeignReport) else _as_foreign(body)
    room = foreign.room_name()
    if not room:
        raise InvalidInput(
            "a report without a callback token has to name its room",
            field="room",
            cure="send LiveKit's name of the room as `room`",
        )
    key = await session_in_room(wired, room)
    if key is None:
        raise NotFound("there is no session in this room", field="room")
    status = await wired.workflows.status(key)
    _check_that_it_waits(status)
    return key, await take_report(wired, key, foreign.report(status.attempt, now), now)


def _as_foreign(report: AgentReport) -> ForeignReport:
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


async def take_report(wired: Services, key: SessionKey, report: AgentReport, now: datetime) -> bool:
    """Store a report and signal its session.

    Returns:
        Whether it is kept: not without MongoDB, and not after the transcript was deleted.

    The signal goes although the report could not be stored, so that the session ends in time; the
    error then makes the agent keep the body in its spool.

    Raises:
        Unavailable: not stored, or the session could not be told; to be sent again.
        InvalidInput: too large or too deep to be stored; its turns are.
    """
    failure: EverlineError | None = None
    stored = False
    if wired.archive:
        try:
            await wired.archive.transcripts.record_report(key, report, now)
            records = wired.records
            stored = not (records and await records.retention.drop_late(key, report.recording))
        except EverlineError as error:
            failure = error
    digest = report.digest()
    await wired.workflows.signal(
        key,
        ReportReceived(
            # Only an attempt's first report tells the session anything.
            event_id=f"report:{report.attempt}",
            attempt=report.attempt,
            digest=digest,
            end_reason=report.end_reason,
            turn_count=len(report.turns),
            stored=stored,
            error=(report.error or "")[:500] or None,
        ),
    )
    if failure:
        raise failure
    return stored
