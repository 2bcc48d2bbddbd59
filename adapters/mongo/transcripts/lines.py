"""The lines of transcripts: what lists, searches and statistics are read from.

A line is derived from what the archive keeps of a session: its record, its transcript's header,
its summary and its turns. Whoever writes one of them has the line renewed afterwards, and a renewal
that was overtaken reads everything again, so the last one always sees all that was written.

A deleted transcript leaves a tombstone in the place of its line: what comes too late finds it after
its own write, and takes that back.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, of_session, session_document_id, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.sessions.records import MongoSessions
from adapters.mongo.sort_keys import place_of_seconds, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection, OrgDocuments
from adapters.mongo.transcripts.summaries import COLLECTION as SUMMARIES
from adapters.mongo.transcripts.summaries import MongoSummaries
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
from domain.transcripts.listing import TranscriptLine, line_of
from domain.transcripts.retention import OldTranscript, Removed
from domain.transcripts.search_terms import terms_of
from domain.transcripts.summary import SummaryStatus
from domain.transcripts.transcript import Turn

COLLECTION = "transcript_lines"
ORGS = "transcript_orgs"
EVERY = "*"
"""The facet that every line has: a list without a condition is read through the same indexes."""
_ATTEMPTS = 12
_LONGEST_PAUSE = 0.5
"""Seconds at most before the next attempt of a writer that was overtaken."""


class MongoTranscriptLines:
    """One document per listed or deleted transcript."""

    def __init__(self, database: Database) -> None:
        self._lines = OrgCollection(database[COLLECTION])
        self._orgs = OrgCollection(database[ORGS])
        self._parts = {
            name: OrgCollection(database[name])
            for name in (TURNS, REPORTS, RECORDINGS, SUMMARIES, TRANSCRIPTS)
        }
        self._sessions = MongoSessions(database)
        self._transcripts = MongoTranscripts(database)
        self._summaries = MongoSummaries(database)
        self._known_orgs: set[str] = set()

    async def renew_if_listed(self, key: SessionKey) -> bool:
        """Renew the line of a transcript that is listed or deleted; nothing for any other.

        Returns:
            False if it was deleted, and what was written is dropped.

        Raises:
            StorageUnavailable: MongoDB does not do it; what was written is there.
        """
        async with storage_errors("read a transcript's line"):
            known = await self._lines.of_session(key).find_one({"_id": session_document_id(key)})
        return known is None or await self.renew(key)

    async def renew(self, key: SessionKey) -> bool:
        """Derive the line again from all that is kept of the session.

        Returns:
            False if the transcript was deleted, and what was written is dropped.

        Raises:
            StorageUnavailable: MongoDB does not do it; what was written is there.
        """
        documents = self._lines.of_session(key)
        for attempt in range(_ATTEMPTS):
            async with storage_errors("read a transcript's line"):
                known = await documents.find_one({"_id": session_document_id(key)})
            if known is not None and known.get("deleted_at"):
                await self._remove_parts(key)
                return False
            turns = await self._transcripts.turns(key)
            line = line_of(
                await self._sessions.get(key),
                await self._transcripts.header(key),
                await self._summaries.get(key),
                turns,
            )
            if line is None or await self._stored(documents, known, document_of(line, turns)):
                return True
            await _give_way(attempt)
        raise StorageUnavailable("MongoDB did not store a transcript's line: too many writers")

    async def remove(self, key: SessionKey, by: str, at: datetime) -> Removed:
        """Delete a transcript with all its parts, for good; what comes later is dropped.

        Args:
            key: the session.
            by: who deletes it.
            at: when.

        Returns:
            How many of each part were deleted; repeated after an interruption, the rest of them.

        Raises:
            StorageUnavailable: MongoDB does not do it, or not all of it; to be called again.
        """
        documents = self._lines.of_session(key)
        tombstone = {**_identity(key), "deleted_at": at, "deleted_by": by}
        for attempt in range(_ATTEMPTS):
            async with storage_errors("delete a transcript"):
                known = await documents.find_one({"_id": session_document_id(key)})
            gone = known is not None and bool(known.get("deleted_at"))
            if gone or await self._stored(documents, known, dict(tombstone)):
                return await self._remove_parts(key)
            await _give_way(attempt)
        raise StorageUnavailable("MongoDB did not delete a transcript: too many writers")

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """All recordings of the session that anybody has told of.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        reports = await self._transcripts.reports(key)
        reported = [report.recording for report in reports if report.recording]
        return latest([*reported, *await self._transcripts.recordings(key)])

    async def is_removed(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a transcript's line"):
            known = await self._lines.of_session(key).find_one({"_id": session_document_id(key)})
        return known is not None and bool(known.get("deleted_at"))

    async def ended_before(
        self, org: str, before: datetime, limit: int, after: str | None
    ) -> list[OldTranscript]:
        """The org's transcripts of calls that ended before then, the oldest first.

        With `after`, those that stand behind that place.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        ended = {"$gt": after or "", "$lt": sort_key_of_time(before)}
        wanted: Document = {"facets": EVERY, "ended": ended}
        async with storage_errors("look for old transcripts"):
            found = await self._lines.of(org).aggregate(
                wanted,
                [
                    {"$sort": {"ended": 1}},
                    {"$limit": limit},
                    {"$project": {"session_id": 1, "ended": 1}},
                ],
            )
        return [OldTranscript(SessionKey(org, each["session_id"]), each["ended"]) for each in found]

    async def orgs(self, after: str | None, limit: int) -> list[str]:
        """The orgs that have, or had, transcripts, by name.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("list orgs"):
            found = await self._orgs.every_org_behind(after, limit)
        return [document["_id"] for document in found]

    async def _stored(
        self, documents: OrgDocuments, known: Document | None, document: Document
    ) -> bool:
        """Store a document unless another writer was faster."""
        document["rev"] = known["rev"] + 1 if known else 1
        storable(document, "the transcript's line")
        async with storage_errors("store a transcript's line"):
            if known is not None:
                wanted = {"_id": document["_id"], "rev": known["rev"]}
                return await documents.replace_one(wanted, document)
            await self._remember(document["org"])
            try:
                await documents.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def _remember(self, org: str) -> None:
        """Keep that an org has transcripts, for the retention's walk over all orgs."""
        if org in self._known_orgs:
            return
        with suppress(DuplicateKeyError):
            await self._orgs.of(org).insert_one({"_id": org})
        self._known_orgs.add(org)

    async def _remove_parts(self, key: SessionKey) -> Removed:
        counts: dict[str, int] = {}
        async with storage_errors("delete a transcript"):
            for name, collection in self._parts.items():
                counts[name] = await collection.of_session(key).delete_many(_by_index(name, key))
        return Removed(
            turns=counts[TURNS],
            reports=counts[REPORTS],
            recordings=counts[RECORDINGS],
            summaries=counts[SUMMARIES],
        )


async def _give_way(attempt: int) -> None:
    """Let the others go first: writers that all try again at once overtake each other for long."""
    await asyncio.sleep(random.uniform(0, min(0.005 * 2**attempt, _LONGEST_PAUSE)))


def facets_of(line: TranscriptLine) -> list[str]:
    """What a line can be found by; each is an entry of an index."""
    ready = line.summary is SummaryStatus.READY
    named = {
        "agent": line.agent,
        "user": line.user_id,
        "outcome": line.outcome,
        "end": line.end_reason,
        "state": line.state,
        "summary": line.summary,
        "summarised": "yes" if ready else "no",
    }
    return [EVERY, *(f"{name}:{value}" for name, value in named.items() if value)]


def _identity(key: SessionKey) -> Document:
    return {"_id": session_document_id(key), **of_session(key)}


def document_of(line: TranscriptLine, turns: Sequence[Turn]) -> Document:
    """The document of a line, with what it is found and ordered by."""
    key = SessionKey(line.org, line.session_id)
    return {
        **_identity(key),
        "line": dump(line, "the transcript's line"),
        "facets": facets_of(line),
        "terms": terms_of(turn.text for turn in turns),
        # Ascending, and read backwards for the newest: see the indexes.
        "started": sort_key_of_time(line.started_at) + key.session_id,
        "ended": sort_key_of_time(line.ended_at) + key.session_id,
        "duration": place_of_seconds(line.duration_seconds) + key.session_id,
    }


def _by_index(collection: str, key: SessionKey) -> Document:
    """What finds a session's documents in a collection that may have no index of sessions."""
    one_per_session = collection in (SUMMARIES, TRANSCRIPTS)
    return {"_id": session_document_id(key)} if one_per_session else {}
