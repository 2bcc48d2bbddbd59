"""The turns of a session: streamed in by the agent, read by clients and by a replacing agent."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.dependencies import (
    Access,
    Deps,
    SessionAccess,
    archive_of,
    reader_of,
)
from api.routes.agent_callbacks.reporters import check_attempt
from domain.errors import InvalidInput
from domain.json_model import JsonModel, is_number
from domain.suggestions import suggestion
from domain.transcripts.transcript import MAX_TURN_CHARS, Role, TranscriptHeader, Turn
from services.transcripts.reader import no_transcript

router = APIRouter(prefix="/v1/sessions", tags=["transcripts"])

# LiveKit's items have such times, and external agents send them unchanged.
_LATEST_SECONDS = 20_000_000_000
_SECONDS = {
    "type": "number",
    "minimum": 0,
    "maximum": _LATEST_SECONDS,
    "description": "seconds since 1970",
}


def _in_seconds(value: object) -> object:
    if is_number(value) and not 0 <= value <= _LATEST_SECONDS:
        # Pydantic reads larger numbers as milliseconds, which nobody sends here.
        raise ValueError(f"a number is seconds since 1970, from 0 to {_LATEST_SECONDS}")
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_in_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, _SECONDS]}),
]


class TurnIn(JsonModel):
    """One turn in a request; agents send all fields, clients those that they know."""

    model_config = ConfigDict(extra="ignore")

    item_id: str | None = Field(default=None, min_length=1, max_length=200)
    attempt: int = Field(default=1, ge=1, lt=2**31)
    seq: int | None = Field(default=None, ge=0, lt=2**53)
    role: Role
    text: str = Field(max_length=MAX_TURN_CHARS)
    created_at: Instant | None = None
    interrupted: bool = False
    started_speaking_at: Instant | None = None
    stopped_speaking_at: Instant | None = None
    metrics: dict[str, float | int | str | None] = Field(default={}, max_length=50)
    agent_id: str | None = Field(default=None, max_length=300)

    def turn(self, now: datetime) -> Turn:
        """The turn with a time and an id; without a sequence number, its time orders it."""
        created = self.created_at or now
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        given = self.model_dump(exclude={"item_id", "created_at"})
        return Turn(
            **given,
            item_id=self.item_id or uuid4().hex,
            created_at=created,
        )


class TurnsIn(JsonModel):
    """Body of `POST /v1/sessions/{session_id}/turns`; only agents may send further fields."""

    model_config = ConfigDict(extra="allow")

    turns: list[TurnIn] = Field(min_length=1, max_length=500)


FULL: dict[int | str, dict[str, Any]] = {
    409: {"description": "The session's limit is reached; the turns that fit are stored."}
}


class TurnsStored(BaseModel):
    """How many turns were stored, and how many were stored before.

    Both are 0 if the transcript was deleted: turns that an agent sends later are dropped.
    """

    stored: int
    duplicates: int


class Turns(BaseModel):
    """The transcript so far, in order; `transcript` is its header once it is sealed."""

    session_id: str
    turns: list[Turn]
    transcript: TranscriptHeader | None = None


@router.post("/{session_id}/turns", responses=FULL)
async def add_turns(body: TurnsIn, deps: Deps, access: Access) -> TurnsStored:
    """Store turns, each once, however often and however late they are sent.

    200 means that they are in the transcript. 409 `transcript_full`: the session has reached its
    limit of turns, or of their bytes; the turns that fit are stored. If the transcript was
    deleted, nothing is stored; an agent gets 200 then as well, so that it does not keep the turns.
    """
    now = datetime.now(UTC)
    turns = [turn.turn(now) for turn in body.turns]
    transcripts = archive_of(deps).transcripts
    await _check(deps, access, body, turns)
    recorded = await transcripts.record_turns(access.key, turns, now)
    if recorded.dropped:
        if access.attempt is None:
            raise no_transcript(access.key)
        await deps.reports.require_closed(access.key)
    return TurnsStored(stored=recorded.stored, duplicates=recorded.duplicates)


async def _check(deps: Deps, access: SessionAccess, body: TurnsIn, turns: list[Turn]) -> None:
    if access.attempt is None:
        for unknown in body.model_extra or {}:
            raise InvalidInput(
                "there is no such name here",
                field=unknown,
                cure=suggestion(unknown, TurnsIn.model_fields),
            )
        await deps.control.require(access.key)
        return
    for turn in turns:
        check_attempt(access.attempt, turn.attempt, "turns.attempt")


@router.get("/{session_id}/turns")
async def get_turns(deps: Deps, access: Access) -> Turns:
    """Get the turns in transcript order, also during a live call."""
    turns, header = await reader_of(deps).turns(access.key, datetime.now(UTC))
    return Turns(session_id=access.key.session_id, turns=turns, transcript=header)
