"""Write a session's summary again."""

import asyncio
import time
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import Field

from api.answers import RequestBody
from api.dependencies import (
    ApiDependencies,
    Deps,
    Key,
    archive_of,
    require_kept,
)
from api.problems import problems
from domain.errors import Conflict, Unavailable
from domain.ids import SessionKey
from domain.transcripts.analysis import AnalysisPlan, AnalysisStatus
from domain.transcripts.summary import Summary, SummaryOrder, SummaryStatus

router = APIRouter(prefix="/v1/sessions", tags=["transcripts"])

LAST_STEPS = 3.0
"""How long a run may take to end after its result can be read, in seconds."""


class SummaryBody(RequestBody):
    """Body of `POST /v1/sessions/{session_id}/summary`."""

    analysis: AnalysisPlan | None = Field(
        default=None,
        description="replaces the plan of the last summary; null for no analysis",
    )


@router.post("/{session_id}/summary", status_code=202, responses=problems(409))
async def rerun_summary(key: Key, deps: Deps, body: SummaryBody | None = None) -> Summary:
    """Write the summary and analysis again, for instance after late turns or with a new plan.

    The previous summary stays readable until the new one is ready.
    """
    if deps.summary_runs is None:
        raise Unavailable("summaries cannot be written again here")
    deadline = time.monotonic() + LAST_STEPS
    while True:
        last = await _last(deps, key)
        order = _order(last, body)
        if await deps.summary_runs.start(order):
            return _pending(last, order)
        # A run stores what it wrote a moment before it ends, and clients see that at once.
        if _is_being_written(last) or time.monotonic() > deadline:
            raise Conflict(
                "the summary is being written",
                field="session_id",
                cure="wait until it is ready or has failed",
            )
        await asyncio.sleep(0.2)


async def _last(deps: ApiDependencies, key: SessionKey) -> Summary:
    summaries = archive_of(deps).summaries
    await require_kept(deps, key)
    last = await summaries.get(key)
    if last is None:
        await deps.control.require(key)
        raise Conflict(
            "there is no summary yet; the first is written after the session has ended",
            field="session_id",
        )
    return last


def _order(last: Summary, body: SummaryBody | None) -> SummaryOrder:
    given = body is not None and "analysis" in body.model_fields_set
    return SummaryOrder(
        org=last.org,
        session_id=last.session_id,
        revision=last.revision + 1,
        plan=body.analysis if body and given else last.plan,
    )


def _is_being_written(summary: Summary) -> bool:
    analysis = summary.analysis.status if summary.analysis else None
    return summary.status is SummaryStatus.PENDING or analysis is AnalysisStatus.PENDING


def _pending(last: Summary, order: SummaryOrder) -> Summary:
    return Summary(
        org=order.org,
        session_id=order.session_id,
        status=SummaryStatus.PENDING,
        revision=order.revision,
        text=last.text,
        transcript_digest=last.transcript_digest,
        plan=order.plan,
        updated_at=datetime.now(UTC),
    )
