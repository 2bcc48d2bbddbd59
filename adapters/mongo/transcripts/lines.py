"""Transcript lines: one document per transcript for lists, searches and statistics.

A line is derived from the session's record, header, summary and turns. Every write of one of them
renews the line afterwards. A renewal that loses a race reads everything again, so the last one sees
all writes.

A deleted transcript leaves a tombstone instead of its line: a late write finds it and is removed.
The tombstone does not count for a later session with the same id, if one could be started.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, dump, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.sessions.records import COLLECTION as SESSIONS
from adapters.mongo.sessions.records import MongoSessions
from adapters.mongo.sort_keys import sort_key_of_seconds, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.transcripts.renewal import Renewal
from adapters.mongo.transcripts.summaries import COLLECTION as SUMMARIES
from adapters.mongo.transcripts.summaries import MongoSummaries
from adapters.mongo.transcripts.totals import COLLECTION as TOTALS
from adapters.mongo.transcripts.transcripts import (
    RECORDINGS,
    REPORTS,
    TRANSCRIPTS,
    TURNS,
    MongoTranscripts,
)
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, latest
from domain.sessions.metadata import metadata_pairs
from domain.transcripts.listing import TranscriptFilter, TranscriptLine, line_of
from domain.transcripts.ports import TranscriptRemoval
from domain.transcripts.retention import OldTranscript, Removed
from domain.transcripts.search_terms import terms_of
from domain.transcripts.summary import SummaryStatus
from domain.transcripts.transcript import Turn

COLLECTION = "transcript_lines"
ORGS = "transcript_orgs"
EVERY = "*"
"""The facet of every line: a list without a condition is read through the same indexes."""
_ATTEMPTS = 12
_LONGEST_PAUSE = 0.5
"""Seconds at most before a writer that lost a race tries again."""
_ONE_EACH = {SESSIONS, COLLECTION, SUMMARIES, TRANSCRIPTS, TOTALS}
"""Collections with one document per session: its `_id` is the index."""


class MongoTranscriptLines(Renewal, TranscriptRemoval):
    """One document per listed or deleted transcript."""

    def __init__(self, database: Database) -> None:
        self._lines = OrgCollection(database[COLLECTION])
        self._orgs = OrgCollection(database[ORGS])
        self._parts = {
            name: OrgCollection(database[name])
            for name in (TURNS, REPORTS, RECORDINGS, SUMMARIES, TRANSCRIPTS, TOTALS)
        }
        self._documents = self._parts | {
            name: OrgCollection(database[name]) for name in (COLLECTION, SESSIONS)
        }
        self._sessions = MongoSessions(database)
        self._transcripts = MongoTranscripts(database)
        self._summaries = MongoSummaries(database)
        self._known_orgs: set[str] = set()

    @override
    async def renew_if_listed(self, key: SessionKey) -> bool:
        return await self._known(key) is None or await self.renew(key)

    @override
    async def renew(self, key: SessionKey) -> bool:
        for attempt in range(_ATTEMPTS):
            known = await self._known(key)
            if await self._is_deleted(key, known):
                await self._remove_parts(key)
                return False
            turns = await self._transcripts.turns(key)
            line = line_of(
                await self._sessions.get(key),
                await self._transcripts.header(key),
                await self._summaries.get(key),
                turns,
            )
            if line is None or await self._stored(key, known, document_of_line(line, turns)):
                return True
            await _back_off(attempt)
        raise StorageUnavailable("MongoDB did not store a transcript's line: too many writers")

    @override
    async def remove(self, key: SessionKey, by: str, at: datetime) -> Removed:
        tombstone = {"_id": document_id(*key), "deleted_at": at, "deleted_by": by}
        for attempt in range(_ATTEMPTS):
            known = await self._known(key)
            deleted = await self._is_deleted(key, known)
            if deleted or await self._stored(key, known, dict(tombstone)):
                return await self._remove_parts(key)
            await _back_off(attempt)
        raise StorageUnavailable("MongoDB did not delete a transcript: too many writers")

    @override
    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        reports = await self._transcripts.reports(key)
        reported = [report.recording for report in reports if report.recording]
        return latest([*reported, *await self._transcripts.recordings(key)])

    @override
    async def is_removed(self, key: SessionKey) -> bool:
        return await self._is_deleted(key, await self._known(key))

    @override
    async def has_stored(self, key: SessionKey) -> bool:
        found = await asyncio.gather(
            *(
                collection.of_session(key).find(_of_session(key, name), {"_id": 1}, limit=1)
                for name, collection in self._documents.items()
            )
        )
        return any(found)

    @override
    async def ended_before(
        self, org: str, before: datetime, limit: int, after: str | None
    ) -> list[OldTranscript]:
        ended = {"$gt": after or "", "$lt": sort_key_of_time(before)}
        wanted, fields = {"facets": EVERY, "ended": ended}, {"session_id": 1, "ended": 1}
        found = await self._lines.of(org).find(wanted, fields, sort=[("ended", 1)], limit=limit)
        return [OldTranscript(SessionKey(org, each["session_id"]), each["ended"]) for each in found]

    @override
    async def orgs(self, after: str | None, limit: int) -> list[str]:
        beyond: Document = {"_id": {"$gt": after or ""}}
        found = await self._orgs.every_org().find(beyond, sort=[("_id", 1)], limit=limit)
        return [document["_id"] for document in found]

    async def _known(self, key: SessionKey) -> Document | None:
        """The line or the tombstone of the session's transcript."""
        return await self._lines.of_session(key).find_one({"_id": document_id(*key)})

    async def _is_deleted(self, key: SessionKey, known: Document | None) -> bool:
        """Whether the document is the tombstone of this session, not of an earlier one."""
        if known is None or not known.get("deleted_at"):
            return False
        record = await self._sessions.get(key)
        return record is None or record.started_at <= known["deleted_at"]

    async def _stored(self, key: SessionKey, known: Document | None, document: Document) -> bool:
        """Store a document; False if another writer was faster."""
        documents = self._lines.of_session(key)
        document["rev"] = known["rev"] + 1 if known else 1
        storable(document, "the transcript's line")
        if known is not None:
            wanted = {"_id": document["_id"], "rev": known["rev"]}
            return await documents.replace_one(wanted, document)
        await self._remember(key.org)
        return await documents.insert_new(document)

    async def _remember(self, org: str) -> None:
        """Record that an org has transcripts, for the retention job over all orgs."""
        if org not in self._known_orgs:
            await self._orgs.of(org).insert_new({"_id": org})
            self._known_orgs.add(org)

    async def _remove_parts(self, key: SessionKey) -> Removed:
        async with storage_errors("delete a transcript"):
            counts = {
                name: await collection.of_session(key).delete_many(_of_session(key, name))
                for name, collection in self._parts.items()
            }
        return Removed(**counts)


def _of_session(key: SessionKey, collection: str) -> Document:
    """The filter of a session's documents that a collection has an index for."""
    return {"_id": document_id(*key)} if collection in _ONE_EACH else {}


async def _back_off(attempt: int) -> None:
    """Wait a random time: writers that all retry at once keep colliding."""
    await asyncio.sleep(random.uniform(0, min(0.005 * 2**attempt, _LONGEST_PAUSE)))


def facets_of(source: TranscriptLine | TranscriptFilter, has_summary: bool | None) -> list[str]:
    """What a line can be filtered by, the rarest first; each is an index entry."""
    named = {
        "user": source.user_id,
        "agent": source.agent,
        "end": source.end_reason,
        "outcome": source.outcome,
        "summary": source.summary,
        "summarised": None if has_summary is None else "yes" if has_summary else "no",
        "state": source.state,
    }
    attached = [f"metadata:{pair}" for pair in metadata_pairs(source.metadata)]
    return attached + [f"{name}:{value}" for name, value in named.items() if value is not None]


def document_of_line(line: TranscriptLine, turns: Sequence[Turn]) -> Document:
    """The document of a line, with its filter and sort fields."""
    key = SessionKey(line.org, line.session_id)
    return {
        "_id": document_id(*key),
        **key._asdict(),
        "line": dump(line, "the transcript's line"),
        "facets": [EVERY, *facets_of(line, line.summary is SummaryStatus.READY)],
        "terms": terms_of(turn.text for turn in turns),
        # Ascending, and read backwards for the newest: see the indexes.
        "started": sort_key_of_time(line.started_at) + key.session_id,
        "ended": sort_key_of_time(line.ended_at) + key.session_id,
        "duration": sort_key_of_seconds(line.duration_seconds) + key.session_id,
    }
