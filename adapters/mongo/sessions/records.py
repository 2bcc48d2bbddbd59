"""The records of sessions: a readable projection of what Temporal knows."""

from datetime import datetime

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of
from adapters.mongo.errors import AlreadyStored, storage_errors
from adapters.mongo.reading import StoredModel
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_time
from adapters.mongo.tenancy import Documents, OrgCollection
from adapters.mongo.transcripts.renewal import Renewal
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.json_model import reader
from domain.paging import Page
from domain.sessions.listing import SessionFilter, SessionPage, line_of
from domain.sessions.metadata import metadata_pairs
from domain.sessions.ports import SessionHistory, SessionRecords
from domain.sessions.session import SessionState, SessionStatus

COLLECTION = "sessions"
_ATTEMPTS = 5
_WHAT = "the record of session"
_RECORD = StoredModel(_WHAT, reader(SessionStatus))
_STRICT_RECORD = StoredModel(_WHAT, SessionStatus.model_validate)
"""For the reaper, which writes records back: it leaves those of a newer version alone."""


class MongoSessions(SessionRecords, SessionHistory):
    """One document per session, the last known status. Times are kept to the millisecond."""

    def __init__(self, database: Database, lines: Renewal | None = None) -> None:
        self._sessions = OrgCollection(database[COLLECTION])
        self._lines = lines or Renewal()

    @override
    async def record(self, status: SessionStatus) -> None:
        key = SessionKey(status.org, status.session_id)
        document = document_of(
            status,
            "the session's status",
            document_id(*key),
            # What lists are filtered and ordered by.
            agent=status.agent_id or status.agent_name,
            place=sort_key_of_time(status.started_at) + status.session_id,
            metadata_pairs=metadata_pairs(status.metadata),
        )
        mine = self._sessions.of_session(key)
        # The id may be that of an earlier session: a start checks that only if MongoDB answers.
        began = status.started_at.replace(microsecond=status.started_at.microsecond // 1000 * 1000)
        older: Document = {
            "_id": document["_id"],
            "started_at": {"$lte": began},
            "$or": [{"started_at": {"$lt": began}}, {"version": {"$lt": status.version}}],
        }
        async with storage_errors("store a session"):
            for _ in range(_ATTEMPTS):
                try:
                    await mine.replace_one(older, document, upsert=True)
                except AlreadyStored:
                    # The stored version is not older, or another writer inserted at the same time.
                    stored = await mine.find_one({"_id": document["_id"]})
                    if stored is None or _age(stored) < (began, status.version):
                        continue
                break
            else:
                raise StorageUnavailable(
                    "MongoDB did not store a session: too many writers at once"
                )
        if status.state is SessionState.CLOSED:
            await self._lines.renew(key)

    @override
    async def get(self, key: SessionKey) -> SessionStatus | None:
        return await self._sessions.of_session(key).get(document_id(*key), _RECORD)

    @override
    async def not_closed(self, limit: int, after: str | None = None) -> Page[SessionStatus]:
        # Not a list of the known open states: another version may have others.
        not_closed = {"state": {"$ne": SessionState.CLOSED.value}}
        every_org = self._sessions.every_org()
        return await every_org.page_by_id(limit, _STRICT_RECORD, after, not_closed)

    @override
    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        conditions, mine = _conditions(wanted, after), self._sessions.of(org)
        if wanted.metadata:
            page = await _page_by_metadata(mine, wanted.metadata, conditions, limit)
        else:
            page = await mine.page(conditions, limit, _RECORD)
        return SessionPage(sessions=[line_of(status) for status in page.items], next=page.next)


def _age(stored: Document) -> tuple[datetime, int]:
    return stored["started_at"], stored["version"]


def _conditions(wanted: SessionFilter, after: str | None) -> Document:
    conditions: Document = {"state": SessionState.CLOSED.value}
    if wanted.outcome:
        conditions["outcome"] = wanted.outcome.value
    if wanted.agent:
        conditions["agent"] = wanted.agent
    before = [sort_key_of_time(wanted.started_before)] if wanted.started_before else []
    if after:
        before.append(check_sort_key(after))
    place: Document = {"$lt": min(before)} if before else {}
    if wanted.started_after:
        place["$gte"] = sort_key_of_time(wanted.started_after)
    return conditions | ({"place": place} if place else {})


async def _page_by_metadata(
    mine: Documents, metadata: dict[str, str], conditions: Document, limit: int
) -> Page[SessionStatus]:
    """A page of the sessions with this metadata, newest first.

    The first stage is one that an index covers completely, as in the lists of transcripts. Long
    entries are rare.
    """
    longest, *others = sorted(metadata_pairs(metadata), key=len, reverse=True)
    indexed = {name: conditions.pop(name) for name in ("state", "place") if name in conditions}
    every = [conditions, *({"metadata_pairs": pair} for pair in others)]
    further = [condition for condition in every if condition]
    stages: list[Document] = [{"$match": {"$and": further}}] if further else []
    stages += [{"$sort": {"place": -1}}, {"$limit": limit + 1}]
    found = await mine.aggregate({**indexed, "metadata_pairs": longest}, stages)
    return _RECORD.page(found, limit, "place")
