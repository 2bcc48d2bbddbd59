"""The summary of a session: write it again."""

from pydantic import Field

from api.answers import RequestBody
from api.dependencies import Deps, Key, reader_of
from api.problems import problems
from api.routing import Router
from domain.errors import Unavailable
from domain.transcripts.analysis import AnalysisPlan
from domain.transcripts.summary import Summary
from services.transcripts.summary_reruns import rerun_summary as rerun

router = Router(prefix="/v1/sessions", tags=["transcripts"])


class SummaryBody(RequestBody):
    """Body of `POST /v1/sessions/{session_id}/summary`."""

    analysis: AnalysisPlan | None = Field(
        default=None, description="replaces the plan of the last summary; null for no analysis"
    )


@router.post("/{session_id}/summary", status_code=202, responses=problems(409))
async def rerun_summary(key: Key, deps: Deps, body: SummaryBody | None = None) -> Summary:
    """Write the summary and analysis again, for instance after late turns or with a new plan.

    The previous summary stays readable until the new one is ready.
    """
    if deps.summary_runs is None:
        raise Unavailable("summaries cannot be written again here")
    wanted = body or SummaryBody()
    keep = "analysis" not in wanted.model_fields_set
    reader = reader_of(deps)
    return await rerun(reader, deps.summary_runs, key, wanted.analysis, keep_plan=keep)
