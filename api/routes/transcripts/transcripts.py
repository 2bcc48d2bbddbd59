"""Transcripts with the older LiveKit backend's paths: list, read, statistics, export, delete."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Response

from api.dependencies import Client, Deps, Limit, SessionId, next_page, reader_of, records_of
from api.metadata_filter import METADATA_PARAMETER, MetadataFilter
from api.problems import problems
from api.routes.transcripts.answers import (
    TranscriptAnswer,
    TranscriptDeleted,
    TranscriptList,
    answer_of,
    head_of,
)
from api.routes.transcripts.exports import MEDIA_TYPES, ExportFormat, export, format_accepted
from api.routes.transcripts.statistics import AgentStats, stats_of
from api.routing import Router
from domain.ids import ID_PATTERN, Id, SessionKey
from domain.json_model import Time
from domain.paging import Page
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.listing import (
    SortField,
    SortOrder,
    TranscriptFilter,
    TranscriptLine,
    TranscriptOrder,
    TranscriptState,
    search_terms_of_query,
)
from domain.transcripts.summary import SummaryStatus

router = Router(prefix="/api/transcripts", tags=["transcripts"])

AgentId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        description="The saved agent's id; for sessions without one, the agent's name.",
    ),
]
From = Annotated[Time | None, Query(alias="from", description="calls that started then or later")]
To = Annotated[Time | None, Query(alias="to", description="calls that started before then")]
Seconds = Annotated[float | None, Query(ge=0, le=1e9, description="of the call, in seconds")]


class ListQuery:
    """The filters, the order and the page of both lists."""

    def __init__(
        self,
        metadata: MetadataFilter,
        userId: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
        outcome: Outcome | None = None,
        endReason: EndReason | None = None,
        state: Annotated[
            TranscriptState | None,
            Query(description="`partial`: without its last report. Live calls are not listed."),
        ] = None,
        summaryStatus: SummaryStatus | None = None,
        hasSummary: Annotated[bool | None, Query(description="whether a summary is ready")] = None,
        since: From = None,
        until: To = None,
        minDuration: Seconds = None,
        maxDuration: Seconds = None,
        q: Annotated[
            str | None,
            Query(max_length=500, description="words that a transcript must all contain"),
        ] = None,
        sort: SortField = SortField.STARTED_AT,
        order: SortOrder = SortOrder.DESCENDING,
        limit: Limit = 50,
        cursor: Annotated[str | None, next_page(500, "nextCursor")] = None,
    ) -> None:
        self.wanted = TranscriptFilter(
            user_id=userId,
            outcome=outcome,
            end_reason=endReason,
            state=state,
            summary=summaryStatus,
            has_summary=hasSummary,
            started_from=since,
            started_to=until,
            min_duration=minDuration,
            max_duration=maxDuration,
            metadata=metadata,
            terms=[] if q is None else search_terms_of_query(q),
        )
        self.order = TranscriptOrder(field=sort, order=order)
        self.limit = limit
        self.cursor = cursor


Listed = Annotated[ListQuery, Depends()]


async def _session_key(sessionId: SessionId, client: Client) -> SessionKey:
    return SessionKey(client.org, sessionId)


CamelCaseKey = Annotated[SessionKey, Depends(_session_key)]
"""As `api.dependencies.Key`, for paths with `sessionId`."""


@router.get("", openapi_extra=METADATA_PARAMETER)
async def list_transcripts(
    query: Listed,
    deps: Deps,
    client: Client,
    agentId: Annotated[
        Id | None, Query(description="the saved agent's id; without one, the agent's name")
    ] = None,
) -> TranscriptList:
    """List the transcripts of calls that have ended, latest start first."""
    wanted = query.wanted.model_copy(update={"agent": agentId})
    lists = records_of(deps).lists
    return _list(await lists.page(client.org, wanted, query.order, query.limit, query.cursor))


# Before the routes of one session: a session may be named `agent`.
@router.get("/agent/{agentId}", openapi_extra=METADATA_PARAMETER)
async def list_transcripts_of_agent(
    agentId: AgentId, query: Listed, deps: Deps, client: Client
) -> TranscriptList:
    """List an agent's transcripts; 404 if the org never had such an agent."""
    wanted = query.wanted.model_copy(update={"agent": agentId})
    lists = records_of(deps).lists
    page = await lists.page_of_agent(client.org, wanted, query.order, query.limit, query.cursor)
    return _list(page)


@router.get("/agent/{agentId}/stats")
async def transcript_stats(
    agentId: AgentId, deps: Deps, client: Client, since: From = None, until: To = None
) -> AgentStats:
    """Get statistics of an agent's transcripts, by default of the last 30 days."""
    now = datetime.now(UTC)
    found = await records_of(deps).lists.stats(client.org, agentId, since, until, now)
    return stats_of(agentId, found.started_from, found.started_to, found.stats)


@router.get("/{sessionId}")
async def get_transcript(key: CamelCaseKey, deps: Deps) -> TranscriptAnswer:
    """Get a session's transcript; during a live call, the turns so far."""
    return answer_of(await reader_of(deps).whole(key, datetime.now(UTC)))


@router.get(
    "/{sessionId}/export",
    response_class=Response,
    responses={
        200: {
            "description": "The transcript as a file.",
            "content": {name: {"schema": {"type": "string"}} for name in MEDIA_TYPES.values()}
            | {"application/json": {"schema": {"$ref": "#/components/schemas/TranscriptAnswer"}}},
        }
    },
)
async def export_transcript(
    key: CamelCaseKey,
    deps: Deps,
    format: Annotated[
        ExportFormat | None, Query(description="overrides `Accept`; JSON without either")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Export a session's transcript as JSON, JSON Lines, WebVTT or plain text."""
    transcript = answer_of(await reader_of(deps).whole(key, datetime.now(UTC)))
    form = format or format_accepted(accept)
    name = f"transcript-{key.session_id}.{form.value}"
    return Response(
        export(transcript, form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"},
    )


@router.delete("/{sessionId}", responses=problems(409))
async def delete_transcript(key: CamelCaseKey, deps: Deps, client: Client) -> TranscriptDeleted:
    """Permanently delete a closed session's turns, reports, summary and recordings."""
    retention = records_of(deps).retention
    await reader_of(deps).check_deletable(key)
    removed = await retention.delete(client, key.session_id, datetime.now(UTC))
    return TranscriptDeleted.of(removed, session_id=key.session_id)


def _list(page: Page[TranscriptLine]) -> TranscriptList:
    heads = [head_of(line) for line in page.items]
    return TranscriptList(transcripts=heads, next_cursor=page.next)
