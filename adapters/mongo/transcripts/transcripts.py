"""Turns, reports, recordings and transcript headers."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from pymongo.errors import BulkWriteError
from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, dump, storable, to_json
from adapters.mongo.errors import AlreadyStored, is_duplicate, storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Change, Documents, OrgCollection
from adapters.mongo.transcripts.renewal import Renewal
from adapters.mongo.transcripts.totals import TurnTotals
from adapters.mongo.transcripts.turns import TURN, TurnWrite, in_order, write_of
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.recordings.recording import CallRecording, RecordingState
from domain.transcripts.listening import HEARD_PREFIX
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.transcript import (
    MAX_REPORTS,
    AgentReport,
    KeptReports,
    Role,
    StoredTurn,
    TooManyReports,
    TranscriptFull,
    TranscriptHeader,
    TranscriptLimits,
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

    def __init__(
        self,
        database: Database,
        lines: Renewal | None = None,
        limits: TranscriptLimits | None = None,
    ) -> None:
        self.limits = limits or TranscriptLimits()
        self._totals = TurnTotals(database, self.limits)
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
        new = left_out = 0
        turns_full = False
        for start in range(0, len(writes), BATCH):
            written = await self._write(key, writes[start : start + BATCH])
            new += written.new
            left_out += written.left_out
            turns_full |= written.turns_full
        # Also without new turns: an earlier delivery may have failed right before this.
        if writes and not await self._lines.renew_if_listed(key):
            return None
        if left_out:
            raise TranscriptFull(left_out, self.limits, turns=turns_full)
        return new

    async def _write(self, key: SessionKey, batch: Sequence[TurnWrite]) -> "_Written":
        """Store what fits of a batch in one bulk write.

        What is stored already costs only the reading.
        """
        documents = self._turns.of_session(key)
        merged: dict[str, TurnWrite] = {}
        for write in batch:
            # Each is compared with what is stored: two of one turn would take turns at a repeat.
            merged[write.id] = merged[write.id].then(write) if write.id in merged else write
        wanted = {"_id": {"$in": list(merged)}}
        new = 0
        for attempt in range(_ATTEMPTS):
            known = {each["_id"]: each for each in await documents.find(wanted)}
            changed = [one for one in merged.values() if one.changes_something(known.get(one.id))]
            if not changed:
                return _Written(new)
            growth = [write.grows(known.get(write.id)) for write in changed]
            reserved = await self._totals.reserve(key, growth)
            left_out = reserved.fits.count(False)
            written = _Written(new, left_out, reserved.turns_full)
            if left_out == len(changed) and attempt:
                return written
            fitting = [
                (write, size)
                for write, size, fits in zip(changed, growth, reserved.fits, strict=True)
                if fits
            ]
            changes = [
                change
                for write, _ in fitting
                for change in write.changes(known.get(write.id), reserved.position)
            ]
            async with storage_errors("store turns"):
                done, stored = await _apply(documents, changes) if changes else (True, set[str]())
            new += len(stored)
            # Others that seemed to be new were stored by another request, which counted them.
            known_now = [size for write, size in fitting if size.turns and write.id not in stored]
            await self._totals.give_back(key, known_now)
            # What does not fit is compared once more: another request may have stored it just now.
            if done and (attempt or not left_out):
                return written._replace(new=new)
        raise StorageUnavailable("MongoDB did not store turns: too many writers at once")

    @override
    async def turns(self, key: SessionKey) -> list[Turn]:
        return [one.turn for one in await self.stored_turns(key) if not one.replaced]

    @override
    async def stored_turns(self, key: SessionKey) -> list[StoredTurn]:
        return in_order(TURN.all(await self._turns.of_session(key).find()))

    @override
    async def last_position(self, key: SessionKey) -> int:
        return await self._totals.last_position(key)

    @override
    async def turns_after(
        self, key: SessionKey, position: int, also: Sequence[int] = ()
    ) -> list[StoredTurn]:
        mine = self._turns.of_session(key)
        # Two queries, because each uses the index.
        found = await mine.find({"position": {"$gt": position}})
        if also:
            found += await mine.find({"position": {"$in": list(also)}})
        return TURN.all(found)

    @override
    async def caller_turns(self, key: SessionKey) -> int:
        of_caller = {"role": Role.USER.value, "replaced": {"$ne": True}}
        return await self._turns.of_session(key).count(of_caller)

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
        reports = self._reports.of_session(key)
        others = {"attempt": report.attempt, "_id": {"$ne": document["_id"]}}
        if await reports.count(others) >= MAX_REPORTS:
            raise TooManyReports
        new = await reports.insert_new(storable(document, what))
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
        mine = self._turns.of_session(key)
        first = document_id(*key, attempt, HEARD_PREFIX)
        ids: Document = {"$gte": first, "$lt": f"{first}\U0010ffff"}
        heard = await mine.find({"_id": ids, "replaced": {"$ne": True}}, {"_id": 1})
        if heard:
            position = (await self._totals.reserve(key, [])).position
            change: Document = {"$set": {"replaced": True, "position": position}}
            async with storage_errors("replace heard turns"):
                await mine.apply([Change({"_id": one["_id"]}, change) for one in heard])
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


async def _apply(documents: Documents, changes: Sequence[Change]) -> tuple[bool, set[str]]:
    """Whether all changes were made, and the ids of the new documents.

    If not, another request stored the same turns first; repeating changes nothing else.
    """
    try:
        return True, await documents.apply(changes)
    except BulkWriteError as error:
        if not is_duplicate(error):
            raise
        return False, {one["_id"] for one in (error.details or {}).get("upserted", [])}


class _Written(NamedTuple):
    """The result of writing a batch."""

    new: int
    left_out: int = 0
    turns_full: bool = False


def _report(document: Document) -> AgentReport:
    # Not pydantic's own JSON: it refuses lone surrogates, which an external field may hold.
    return reader(AgentReport)(json.loads(document["body"]))


_REPORT = StoredModel("report", _report)
_RECORDING = StoredModel("the recording", reader(CallRecording))
_HEADER = StoredModel("the transcript of session", reader(TranscriptHeader))
