"""Turns, reports, recordings and transcript headers."""

import json
from collections.abc import Sequence
from contextlib import suppress

from pymongo.errors import BulkWriteError
from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, dump, storable, to_json
from adapters.mongo.errors import AlreadyStored, is_duplicate, storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Change, OrgCollection
from adapters.mongo.transcripts.renewal import Renewal
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listening import HEARD_PREFIX
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.transcript import AgentReport, KeptReports, TranscriptHeader, Turn, ordered

TURNS = "turns"
REPORTS = "reports"
TRANSCRIPTS = "transcripts"
RECORDINGS = "recordings"

_ATTEMPTS = 5


class MongoTranscripts(TranscriptArchive):
    """Turns keyed by (org, session, attempt, item id), so that no turn can be stored twice.

    A turn can arrive twice, streamed and in the report, in either order. Key, sequence number,
    speaker, time and a non-empty text keep their first value; an empty text is filled in; metrics
    and speaking times are completed or replaced, never erased; `interrupted` stays true.
    """

    def __init__(self, database: Database, lines: Renewal | None = None) -> None:
        self._turns = OrgCollection(database[TURNS])
        self._reports = OrgCollection(database[REPORTS])
        self._headers = OrgCollection(database[TRANSCRIPTS])
        self._recordings = OrgCollection(database[RECORDINGS])
        self._lines = lines or Renewal()

    @override
    async def add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int | None:
        new = await self._add_turns(key, turns)
        return None if new and not await self._lines.renew_if_listed(key) else new

    async def _add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int:
        changes = [change for turn in turns for change in _changes(key, turn)]
        if not changes:
            return 0
        new = 0
        async with storage_errors("store turns"):
            for _ in range(_ATTEMPTS):
                try:
                    return new + await self._turns.of_session(key).apply(changes)
                except BulkWriteError as error:
                    if not is_duplicate(error):
                        raise
                    # Another request stored the same turns first; repeating changes nothing else.
                    new += int((error.details or {}).get("nUpserted", 0))
        raise StorageUnavailable("MongoDB did not store turns: too many writers at once")

    @override
    async def turns(self, key: SessionKey) -> list[Turn]:
        return ordered(_TURN.all(await self._turns.of_session(key).find()))

    @override
    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        what = "the report"
        body = to_json(dump(report, what), what)
        digest = report.digest()
        document: Document = {
            "_id": document_id(*key, report.attempt, digest),
            **report.model_dump(include={"attempt", "end_reason", "job_id", "ended_at"}),
            "digest": digest,
            "turn_count": len(report.turns),
            "body": body,
        }
        new = await self._reports.of_session(key).insert_new(storable(document, what))
        return await self._lines.renew_if_listed(key) and new

    @override
    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        return frozenset(await self._reports.of_session(key).distinct("_id"))

    @override
    async def kept_reports(self, key: SessionKey) -> KeptReports:
        found = await self._reports.of_session(key).find()
        reports = _REPORT.all(found)
        return KeptReports(
            readable=sorted(reports, key=lambda one: (one.attempt, str(one.ended_at or ""))),
            attempts=frozenset(
                attempt for each in found if isinstance(attempt := each.get("attempt"), int)
            ),
            ids=frozenset(document["_id"] for document in found),
        )

    @override
    async def reports(self, key: SessionKey) -> list[AgentReport]:
        return (await self.kept_reports(key)).readable

    @override
    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        fields = storable(recording.model_dump(), "the recording")
        one = {"_id": document_id(*key, recording.path)}
        stored = RecordingState.STORED
        # If it is stored already, an earlier state has arrived too late.
        with suppress(AlreadyStored):
            await self._recordings.of_session(key).update_one(
                {**one, "state": {"$ne": stored}}, {"$set": fields}, upsert=True
            )
        await self._lines.renew_if_listed(key)

    @override
    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        return _RECORDING.all(await self._recordings.of_session(key).find())

    @override
    async def drop_heard(self, key: SessionKey, attempt: int) -> int:
        heard = document_id(*key, attempt, HEARD_PREFIX)
        # All ids with this prefix.
        those = {"_id": {"$gte": heard, "$lt": heard[:-1] + chr(ord(heard[-1]) + 1)}}
        return await self._turns.of_session(key).delete_many(those)

    @override
    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        return await self._headers.of_session(key).get(document_id(*key), _HEADER)

    @override
    async def put_header(self, header: TranscriptHeader) -> None:
        key = SessionKey(header.org, header.session_id)
        fields = storable(
            header.model_dump(exclude={"org", "session_id", "sealed_at"}), "the transcript's header"
        )
        change = {"$set": fields, "$setOnInsert": {"sealed_at": header.sealed_at}}
        await self._headers.of_session(key).update_one(
            {"_id": document_id(*key)}, change, upsert=True
        )
        await self._lines.renew(key)


def _changes(key: SessionKey, turn: Turn) -> list[Change]:
    """The upsert of a turn, and the update that fills in the text of one stored without."""
    what = f"turn {turn.attempt}/{turn.item_id!r}"
    completing: Document = turn.model_dump(
        include={"started_speaking_at", "stopped_speaking_at", "agent_id"}, exclude_none=True
    )
    if turn.interrupted:
        completing["interrupted"] = True
    if turn.metrics:
        completing["metrics"] = to_json(turn.metrics, what)
    inserted: Document = {
        **turn.model_dump(include={"attempt", "item_id", "seq", "role", "text", "created_at"}),
        "interrupted": False,
        "metrics": "{}",
    }
    storable(inserted | completing, what)
    one = {"_id": document_id(*key, turn.attempt, turn.item_id)}
    first = {name: value for name, value in inserted.items() if name not in completing}
    change = {"$setOnInsert": first} | ({"$set": completing} if completing else {})
    changes = [Change(one, change, upsert=True)]
    if turn.text:
        changes.append(Change({**one, "text": ""}, {"$set": {"text": turn.text}}))
    return changes


def _report(document: Document) -> AgentReport:
    # Not pydantic's own JSON: it refuses lone surrogates, which an external field may hold.
    return reader(AgentReport)(json.loads(document["body"]))


def _turn(document: Document) -> Turn:
    return reader(Turn)(document | {"metrics": json.loads(document["metrics"])})


_TURN = StoredModel("turn", _turn)
_REPORT = StoredModel("report", _report)
_RECORDING = StoredModel("the recording", reader(CallRecording))
_HEADER = StoredModel("the transcript of session", reader(TranscriptHeader))
