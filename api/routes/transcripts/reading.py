"""Read one session's transcript, in any state of the call."""

from datetime import UTC, datetime

from api.dependencies import ApiDependencies, archive_of, no_transcript, require_kept
from api.routes.transcripts.answers import TranscriptAnswer, answer_of
from domain.errors import NotFound, Unavailable
from domain.ids import SessionKey
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.listing import described
from services.recordings.recordings import header_now


async def read_transcript(deps: ApiDependencies, key: SessionKey) -> TranscriptAnswer:
    """A session's transcript; during a live call, what there is so far.

    Raises:
        NotFound: there is no such session in this org, or its transcript was deleted.
        Unavailable: MongoDB does not answer, or the session cannot be looked up now.
    """
    archive = archive_of(deps)
    await require_kept(deps, key)
    header = await archive.transcripts.header(key)
    header = await header_now(header, deps.agent_servers, datetime.now(UTC))
    status = await status_for(deps, key, sealed=header is not None)
    if status is None and header is None:
        raise no_transcript(key)
    turns = await archive.transcripts.turns(key)
    summary = await archive.summaries.get(key)
    line = described(status, header, summary, turns)
    return answer_of(line, header, turns, await archive.transcripts.reports(key), summary)


async def status_for(
    deps: ApiDependencies, key: SessionKey, *, sealed: bool
) -> SessionStatus | None:
    """The status of the session; None if it is unknown.

    Raises:
        Unavailable: it cannot be looked up now, and the transcript is not sealed.
    """
    recorded = await archive_of(deps).sessions.get(key)
    if recorded is not None and recorded.state is SessionState.CLOSED:
        return recorded
    try:
        return await deps.control.status(key)
    except NotFound:
        return None
    except Unavailable:
        if sealed:
            return recorded
        raise
