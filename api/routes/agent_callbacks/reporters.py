"""Authentication of callbacks, and the formats of reports."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from pydantic import BeforeValidator, Discriminator, Tag

from api.dependencies import CallbackToken, Deps, agent_claims, claims_of, dependencies
from api.routing import after
from domain.errors import Forbidden, Unauthenticated
from domain.sessions.callback_token import CallbackClaims
from domain.transcripts.external_report import ForeignReport, is_own_report
from domain.transcripts.report_reading import read_report
from domain.transcripts.transcript import AgentReport

OUR_REPORT, EXTERNAL_REPORT = "everline-report", "external-report"
HOW_TO_REPORT = (
    "send `Authorization: Bearer` with `everline.callback_token` of the job's metadata; or set"
    " EVERLINE_ACCEPT_UNSIGNED_REPORTS=true for the API, and send no token"
)


async def reporter_of(request: Request) -> None:
    """Check that an agent may report, as `reporter_claims` does."""
    if not _is_accepted_unsigned(request):
        with _saying_how_to_report():
            await claims_of(request)


def _is_accepted_unsigned(request: Request) -> bool:
    unsigned = "authorization" not in request.headers
    return unsigned and dependencies(request).unsigned_reports


@after(reporter_of)
async def reporter_claims(
    request: Request, deps: Deps, token: CallbackToken
) -> CallbackClaims | None:
    """The reporting agent; None without a token, if such reports are accepted.

    Raises:
        Unauthenticated: the token is invalid, or missing although it is needed.
        Forbidden: expired.
    """
    if _is_accepted_unsigned(request):
        return None
    with _saying_how_to_report():
        return await agent_claims(request, deps, token)


@contextmanager
def _saying_how_to_report() -> Generator[None]:
    try:
        yield
    except Unauthenticated as error:
        error.cure = HOW_TO_REPORT
        raise


ReporterClaims = Annotated[CallbackClaims | None, Depends(reporter_claims)]


def _shape(body: object) -> str:
    if isinstance(body, AgentReport):
        return OUR_REPORT
    ours = isinstance(body, Mapping) and is_own_report(cast(Mapping[str, object], body))
    return OUR_REPORT if ours else EXTERNAL_REPORT


AnyReport = Annotated[
    Annotated[AgentReport, BeforeValidator(read_report), Tag(OUR_REPORT)]
    | Annotated[ForeignReport, Tag(EXTERNAL_REPORT)],
    Discriminator(_shape),
]
"""A report of our agent worker, of any version, or of another agent, as LiveKit's SDKs shape it."""


def check_attempt(allowed: int, attempt: int, field: str = "attempt") -> None:
    """Refuse a message about an attempt that is not the token's.

    Raises:
        Forbidden: naming both.
    """
    if attempt != allowed:
        raise Forbidden(f"the callback token is for attempt {allowed}, not {attempt}", field=field)


def checked_report(
    claims: CallbackClaims, body: AgentReport | ForeignReport, now: datetime
) -> AgentReport:
    """Convert a report with a callback token, in any format, to a report of its attempt.

    Raises:
        Forbidden: the report is of another attempt than the token.
    """
    report = body if isinstance(body, AgentReport) else body.report(claims.attempt, now)
    check_attempt(claims.attempt, report.attempt)
    for turn in report.turns:
        check_attempt(claims.attempt, turn.attempt, "turns.attempt")
    return report
