"""Recordings of calls: reported by agents, read by clients."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import FileResponse, RedirectResponse, Response
from pydantic import BaseModel

from adapters.recordings import AUDIO_TYPE
from api.dependencies import (
    AgentClaims,
    Deps,
    Key,
    configured,
    reader_of,
)
from api.problems import problems
from api.routes.agent_callbacks.reporters import check_attempt
from api.routing import Router
from domain.errors import Forbidden, NotFound
from domain.json_model import of_any_version
from domain.recordings.recording import CallRecording, belongs_to

router = Router()

LINK_SECONDS = 300
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The recording, if a directory stores it; `Range` works.",
        "content": {AUDIO_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    307: {
        "description": f"A link to it in S3-compatible storage, valid for {LINK_SECONDS} seconds.",
        "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}},
    },
    **problems(404, 409),
}


class RecordingNoted(BaseModel):
    """Whether the recording is linked from its session's transcript."""

    stored: bool
    """False without MongoDB, and after the transcript was deleted."""


@router.post("/v1/agent/recording", tags=["agent callbacks"])
async def note_recording(
    recording: Annotated[CallRecording, of_any_version(CallRecording)],
    deps: Deps,
    claims: AgentClaims,
) -> RecordingNoted:
    """Store the state of a recording, as the agent worker of its attempt reports it."""
    check_attempt(claims.attempt, recording.attempt)
    if not belongs_to(recording, claims.key):
        raise Forbidden("the recording's path belongs to another session", field="path")
    if deps.archive is None:
        return RecordingNoted(stored=False)
    await deps.archive.transcripts.record_recording(claims.key, recording, datetime.now(UTC))
    records = deps.records
    deleted = records and await records.retention.drop_late(claims.key, recording)
    return RecordingNoted(stored=not deleted)


@router.get(
    "/v1/sessions/{session_id}/recording",
    tags=["transcripts"],
    response_class=Response,
    responses=_ANSWERS,
)
async def get_recording(
    key: Key,
    deps: Deps,
    attempt: Annotated[
        int | None, Query(ge=1, description="whose recording to get; by default the last")
    ] = None,
) -> Response:
    """Get the recording of a call as Ogg Opus: the caller on the left, the agent on the right."""
    recording = await reader_of(deps).recording(key, attempt, datetime.now(UTC))
    store = configured(
        deps.recordings,
        "the storage of recordings is not configured here",
        "set the API's EVERLINE_RECORDINGS_URL to the agent worker's value",
    )
    if link := await store.link(recording.path, LINK_SECONDS):
        return RedirectResponse(link, headers={"Cache-Control": "no-store"})
    file = store.local_file(recording.path)
    if file is None:
        raise NotFound("the recording is missing in the storage", field="sessionId")
    name = f"{key.session_id}-{recording.attempt}.ogg"
    return FileResponse(file, media_type=AUDIO_TYPE, filename=name)
