"""Turns, reports and transcript headers, behind the port `TranscriptArchive`."""

import json
from collections.abc import Sequence
from typing import Any

from pymongo.errors import BulkWriteError, DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import (
    Document,
    dump,
    session_document_id,
    storable,
    to_json,
)
from adapters.mongo.errors import is_duplicate, storage_errors
from adapters.mongo.reading import read_all, read_one
from adapters.mongo.tenancy import Change, OrgCollection
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listening import HEARD_PREFIX
from domain.transcripts.transcript import AgentReport, KeptReports, TranscriptHeader, Turn, ordered

TURNS = "turns"
REPORTS = "reports"
TRANSCRIPTS = "transcripts"
RECORDINGS = "recordings"

_ATTEMPTS = 5


class MongoTranscripts:
    """Turns keyed by (org, session, attempt, item id), so that no turn can be stored twice.

    A turn can come in twice, streamed and in the report, in either order. Its key, place, speaker
    and time stay as they came first; a text that is there stays, an empty one is filled in; metrics
    and speaking times are completed or replaced, never erased; interrupted once is interrupted.
    """

    def __init__(self, database: Database) -> None:
        self._turns = OrgCollection(database[TURNS])
        self._reports = OrgCollection(database[REPORTS])
        self._headers = OrgCollection(database[TRANSCRIPTS])
        self._recordings = OrgCollection(database[RECORDINGS])

    async def add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int | None:
        """Store turns that are not stored yet, complete those that are; returns how many are new.

        Raises:
            StorageUnavailable: MongoDB does not take them; some may be stored, the same call again
                is safe.
            InvalidInput: one of them cannot be stored; none is.
        """
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
                    # Another delivery of the same turns was first; repeating changes nothing else.
                    new += int((error.details or {}).get("nUpserted", 0))
        raise StorageUnavailable("MongoDB did not store turns: too many writers at once")

    async def turns(self, key: SessionKey) -> list[Turn]:
        """All turns of a session in transcript order.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read turns"):
            found = await self._turns.of_session(key).find_all()
        return ordered(read_all(found, _turn, "turn"))

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        """Keep a report as it came; False if the same one is kept already.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        what = "the report"
        body = to_json(dump(report, what), what)
        digest = report.digest()
        document: Document = {
            "_id": f"{session_document_id(key)}/{report.attempt}/{digest}",
            "attempt": report.attempt,
            "digest": digest,
            "end_reason": report.end_reason.value,
            "job_id": report.job_id,
            "ended_at": report.ended_at,
            "turn_count": len(report.turns),
            "body": body,
        }
        async with storage_errors("store a report"):
            try:
                await self._reports.of_session(key).insert_one(storable(document, what))
            except DuplicateKeyError:
                return False
        return True

    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        """What tells the kept reports apart, also those that cannot be read.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read reports"):
            return frozenset(await self._reports.of_session(key).distinct("_id"))

    async def kept_reports(self, key: SessionKey) -> KeptReports:
        """All reports of a session; the log names those that cannot be read.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read reports"):
            found = await self._reports.of_session(key).find_all()
        reports = read_all(found, _report, "report")
        return KeptReports(
            readable=sorted(reports, key=lambda one: (one.attempt, str(one.ended_at or ""))),
            attempts=frozenset(
                attempt for each in found if isinstance(attempt := each.get("attempt"), int)
            ),
            ids=frozenset(document["_id"] for document in found),
        )

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        """The reports that can be read, as they came, by attempt and then by their end.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        return (await self.kept_reports(key)).readable

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        """Store how far a recording is; one that is stored stays so.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        fields = storable(recording.model_dump(), "the recording")
        one = {"_id": f"{session_document_id(key)}/{recording.path}"}
        stored = RecordingState.STORED.value
        async with storage_errors("store a recording"):
            try:
                await self._recordings.of_session(key).update_one(
                    {**one, "state": {"$ne": stored}}, {"$set": fields}, upsert=True
                )
            except DuplicateKeyError:
                # It is stored already: another word about it comes too late.
                return

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """What is known of a session's recordings beside the reports.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read recordings"):
            found = await self._recordings.of_session(key).find_all()
        return read_all(found, reader(CallRecording), "the recording")

    async def drop_heard(self, key: SessionKey, attempt: int) -> int:
        """Delete what a listener heard in an attempt; returns how many turns.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        heard = f"{session_document_id(key)}/{attempt}/{HEARD_PREFIX}"
        # The ids from this prefix to the next text of its length.
        those = {"_id": {"$gte": heard, "$lt": heard[:-1] + chr(ord(heard[-1]) + 1)}}
        async with storage_errors("delete turns"):
            return await self._turns.of_session(key).delete_many(those)

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The transcript's header; None while it is not sealed.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a transcript"):
            found = await self._headers.of_session(key).find_one({"_id": session_document_id(key)})
        if found is None:
            return None
        return read_one(found, reader(TranscriptHeader), "the transcript of session")

    async def put_header(self, header: TranscriptHeader) -> None:
        """Store the header; `sealed_at` of an existing one stays.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        key = SessionKey(header.org, header.session_id)
        fields = storable(
            header.model_dump(exclude={"org", "session_id", "sealed_at"}), "the transcript's header"
        )
        change = {"$set": fields, "$setOnInsert": {"sealed_at": header.sealed_at}}
        async with storage_errors("store a transcript"):
            await self._headers.of_session(key).update_one(
                {"_id": session_document_id(key)}, change, upsert=True
            )


def _changes(key: SessionKey, turn: Turn) -> list[Change]:
    """The upsert of a turn, and what fills in the text of one that was stored without."""
    what = f"turn {turn.attempt}/{turn.item_id!r}"
    completing = _completing_fields(turn, what)
    inserted: Document = {
        **turn.model_dump(include={"attempt", "item_id", "seq", "text", "created_at"}),
        "role": turn.role.value,
        "interrupted": False,
        "metrics": "{}",
    }
    storable(inserted | completing, what)
    document_id = f"{session_document_id(key)}/{turn.attempt}/{turn.item_id}"
    first = {name: value for name, value in inserted.items() if name not in completing}
    change = {"$setOnInsert": first} | ({"$set": completing} if completing else {})
    changes = [Change({"_id": document_id}, change, upsert=True)]
    if turn.text:
        changes.append(Change({"_id": document_id, "text": ""}, {"$set": {"text": turn.text}}))
    return changes


def _completing_fields(turn: Turn, what: str) -> dict[str, Any]:
    completing: dict[str, Any] = turn.model_dump(
        include={"started_speaking_at", "stopped_speaking_at", "agent_id"}, exclude_none=True
    )
    if turn.interrupted:
        completing["interrupted"] = True
    if turn.metrics:
        completing["metrics"] = to_json(turn.metrics, what)
    return completing


def _report(document: Document) -> AgentReport:
    # Not pydantic's own JSON: that refuses lone surrogates, which a foreign field may hold.
    return reader(AgentReport)(json.loads(document["body"]))


def _turn(document: Document) -> Turn:
    return reader(Turn)(document | {"metrics": json.loads(document["metrics"])})
