"""Write a session's summary again."""

import asyncio
import time
from datetime import UTC, datetime

from domain.errors import Conflict
from domain.ids import SessionKey
from domain.transcripts.analysis import AnalysisPlan, AnalysisStatus
from domain.transcripts.ports import SummaryRuns
from domain.transcripts.summary import Summary, SummaryOrder, SummaryStatus
from services.transcripts.reader import TranscriptReader

LAST_STEPS = 3.0
"""How long a run may take to end after its result can be read, in seconds."""


async def rerun_summary(
    reader: TranscriptReader,
    runs: SummaryRuns,
    key: SessionKey,
    plan: AnalysisPlan | None,
    *,
    keep_plan: bool,
) -> Summary:
    """Write the summary and analysis again, by the last plan or by `plan`.

    Returns:
        The pending summary, with the text of the previous one.

    Raises:
        NotFound: there is no such session in this org, or its transcript was deleted.
        Conflict: there is no summary yet, or it is being written.
        Unavailable: MongoDB or Temporal does not answer.
    """
    deadline = time.monotonic() + LAST_STEPS
    while True:
        last = await reader.summary(key)
        if last is None:
            raise Conflict(
                "there is no summary yet; the first is written after the session has ended",
                field="session_id",
            )
        order = SummaryOrder(
            org=last.org,
            session_id=last.session_id,
            revision=last.revision + 1,
            plan=last.plan if keep_plan else plan,
        )
        if await runs.start(order):
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
        # A run stores its result just before it ends, and clients see that at once.
        if _is_being_written(last) or time.monotonic() > deadline:
            raise Conflict(
                "the summary is being written",
                field="session_id",
                cure="wait until it is ready or has failed",
            )
        await asyncio.sleep(0.2)


def _is_being_written(summary: Summary) -> bool:
    analysis = summary.analysis.status if summary.analysis else None
    return summary.status is SummaryStatus.PENDING or analysis is AnalysisStatus.PENDING
