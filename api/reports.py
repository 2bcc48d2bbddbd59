"""Take in what agents send: stored first, then the session is told."""

import time
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import Depends, Request

from api.dependencies import Services, Wired, bearer_claims
from domain.callback_token import CallbackClaims
from domain.errors import EverlineError, Forbidden
from domain.messages import ReportReceived
from domain.transcript import AgentReport

log = structlog.get_logger()


def agent_claims(request: Request, wired: Wired) -> CallbackClaims:
    """The agent that makes this request, by its callback token."""
    return bearer_claims(request, wired, time.time())


AgentClaims = Annotated[CallbackClaims, Depends(agent_claims)]


def check_attempt(allowed: int, attempt: int, field: str = "attempt") -> None:
    """Refuse a message about another attempt than the token's.

    Raises:
        Forbidden: naming both.
    """
    if attempt != allowed:
        raise Forbidden(f"the callback token is for attempt {allowed}, not {attempt}", field=field)


async def take_report(
    wired: Services, claims: CallbackClaims, report: AgentReport, now: datetime
) -> bool:
    """Store a report and signal its session; False if there is no MongoDB to store it in.

    The signal goes although the report could not be stored, so that the session ends in time; the
    error then makes the agent keep the body in its spool.

    Raises:
        Forbidden: the report is of another attempt than the token.
        Unavailable: not stored, or the session could not be told; to be sent again.
        InvalidInput: too large or too deep to be stored; its turns are.
    """
    check_attempt(claims.attempt, report.attempt)
    for turn in report.turns:
        check_attempt(claims.attempt, turn.attempt, "turns.attempt")
    failure: EverlineError | None = None
    if wired.archive:
        try:
            await wired.archive.transcripts.record_report(claims.key, report, now)
        except EverlineError as error:
            failure = error
    digest = report.digest()
    await wired.workflows.signal(
        claims.key,
        ReportReceived(
            event_id=f"report:{report.attempt}:{digest}",
            attempt=report.attempt,
            digest=digest,
            end_reason=report.end_reason,
            turn_count=len(report.turns),
            stored=wired.archive is not None and failure is None,
            error=(report.error or "")[:500] or None,
        ),
    )
    if failure:
        raise failure
    return wired.archive is not None
