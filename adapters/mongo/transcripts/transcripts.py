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
from adapters.mongo.transcripts.turns import TURN, TurnWrite, in_order, write_of
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listening import HEARD_PREFIX
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.transcript import (
    AgentReport,
    KeptReports,
    StoredTurn,
    TranscriptHeader,
    Turn,
)

TURNS = "turns"
REPORTS = "reports"
TRANSCRIPTS = "transcripts"
RECORDINGS = "recordings"

BATCH = 200
"""Turns that are written at once; each batch has a time limit of its own."""
_ATTEMPTS = 5


class MongoTranscripts(TranscriptArchive):
    """Turns keyed by (org, session, attempt, item id), so that no turn can be stored twice.

    `adapters.mongo.transcripts.turns` says what a repeated delivery changes.
    """

    def __init__(self, database: Database, lines: Renewal | None = None) -> None:
        self._turns = OrgCollection(database[TURNS])
        self._reports = OrgCollection(database[REPORTS])
        self._headers = OrgCollection(database[TRANSCRIPTS])
        self._recordings = OrgCollection(database[RECORDINGS])
        self._lines = lines or Renewal()

    @override
    async def add_turns(
        self, key: SessionKey, turns: Sequence[Turn], *, reported: bool = False
    ) -> int | None:
        writes = [write_of(key, turn, reported=reported) for turn in turns]
        new = 0
        for start in range(0, len(writes), BATCH):
            new += await self._write(key, writes[start : start + BATCH])
        # Also without new turns: an earlier delivery may have failed right before this.
        return new if not writes or await self._lines.renew_if_listed(key) else None

    async def _write(self, key: SessionKey, batch: Sequence[TurnWrite]) -> int:
        """Store a batch in one bulk write; what is stored already costs only the reading."""
        documents = self._turns.of_session(key)
        merged: dict[str, TurnWrite] = {}
        for write in batch:
            # Each is compared with what is stored: two of one turn would take turns at a repeat.
            merged[write.id] = merged[write.id].then(write) if write.id in merged else write
        wanted = {"_id": {"$in": list(merged)}}
        new = 0
        for _ in range(_ATTEMPTS):
            known = {each["_id"]: each for each in await documents.find(wanted)}
            changes = [
                one for write in merged.values() for one in write.changes(known.get(write.id))
            ]
            if not changes:
                return new
            async with storage_errors("store turns"):
                try:
                    return new + await documents.apply(changes)
                except BulkWriteError as error:
                    if not is_duplicate(error):
                        raise
                    # Another request stored the same turns first; repeating changes nothing else.
                    new += int((error.details or {}).get("nUpserted", 0))
        raise StorageUnavailable("MongoDB did not store turns: too many writers at once")

    @override
    async def turns(self, key: SessionKey) -> list[Turn]:
        return [one.turn for one in await self.stored_turns(key) if not one.replaced]

    @override
    async def stored_turns(self, key: SessionKey) -> list[StoredTurn]:
        return in_order(TURN.all(await self._turns.of_session(key).find()))

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
    async def replace_heard(self, key: SessionKey, attempt: int) -> None:
        # They are kept, because event streams name the turns that were replaced.
        changes = [
            Change({"_id": document_id(*key, attempt, one.item_id)}, {"$set": {"replaced": True}})
            for one in await self.turns(key)
            if one.attempt == attempt and one.item_id.startswith(HEARD_PREFIX)
        ]
        if changes:
            async with storage_errors("replace heard turns"):
                await self._turns.of_session(key).apply(changes)
        await self._lines.renew_if_listed(key)

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


def _report(document: Document) -> AgentReport:
    # Not pydantic's own JSON: it refuses lone surrogates, which an external field may hold.
    return reader(AgentReport)(json.loads(document["body"]))


_REPORT = StoredModel("report", _report)
_RECORDING = StoredModel("the recording", reader(CallRecording))
_HEADER = StoredModel("the transcript of session", reader(TranscriptHeader))
