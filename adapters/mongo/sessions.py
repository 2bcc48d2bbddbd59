"""The readable projection of sessions, behind the port `SessionArchive`."""

from datetime import UTC, datetime, timedelta

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, session_document_id, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.versioned import replace_if_newer
from domain.errors import InvalidInput
from domain.ids import SessionKey
from domain.session import SessionState, SessionStatus
from domain.session_list import SessionFilter, SessionPage, line_of

COLLECTION = "sessions"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MongoSessions:
    """One document per session, the last known status. Times are kept to the millisecond."""

    def __init__(self, database: Database) -> None:
        self._sessions = OrgCollection(database[COLLECTION])

    async def record(self, status: SessionStatus) -> None:
        """Store a status unless the same or a newer version of it is stored.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        key = SessionKey(status.org, status.session_id)
        what = "the session's status"
        document = {
            "_id": session_document_id(key),
            **dump(status, what),
            # What lists are filtered by.
            "agent": status.agent_id or status.agent_name,
        }
        async with storage_errors("store a session"):
            # Its `_id` begins with its org.
            await replace_if_newer(self._sessions.every_org(), storable(document, what), "version")

    async def get(self, key: SessionKey) -> SessionStatus | None:
        """The last stored status; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a session"):
            found = await self._sessions.of(key.org).find_one({"_id": session_document_id(key)})
        return None if found is None else SessionStatus.model_validate(found)

    async def not_closed(self, limit: int) -> list[SessionStatus]:
        """Records of all orgs that are not terminal, the oldest first; for the reaper alone.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        states = [state.value for state in SessionState if state is not SessionState.CLOSED]
        open_ones = {"state": {"$in": states}}
        async with storage_errors("look for open sessions"):
            every = self._sessions.every_org()
            found = await every.find(open_ones).sort("started_at", 1).to_list(limit)
        return [SessionStatus.model_validate(document) for document in found]

    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        """The org's closed sessions, the newest first.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            InvalidInput: `after` is not from an earlier page.
        """
        conditions = _conditions(wanted) | (_after(org, after) if after else {})
        async with storage_errors("list sessions"):
            found = await self._sessions.of(org).find(
                conditions, sort=[("started_at", -1), ("_id", -1)], limit=limit + 1
            )
        statuses = [SessionStatus.model_validate(document) for document in found[:limit]]
        return SessionPage(
            sessions=[line_of(status) for status in statuses],
            next=_place(statuses[-1]) if len(found) > limit else None,
        )


def _conditions(wanted: SessionFilter) -> Document:
    conditions: Document = {"state": SessionState.CLOSED.value}
    if wanted.outcome:
        conditions["outcome"] = wanted.outcome.value
    if wanted.agent:
        conditions["agent"] = wanted.agent
    started: Document = {}
    if wanted.started_after:
        started["$gte"] = wanted.started_after
    if wanted.started_before:
        started["$lt"] = wanted.started_before
    if started:
        conditions["started_at"] = started
    return conditions


def _place(status: SessionStatus) -> str:
    """Where the page after this session begins: its time in milliseconds, and its id."""
    return f"{(status.started_at - _EPOCH) // timedelta(milliseconds=1)}.{status.session_id}"


def _after(org: str, place: str) -> Document:
    milliseconds, _, session_id = place.partition(".")
    try:
        at = _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (ValueError, OverflowError):
        raise InvalidInput("not a cursor of this list", field="cursor") from None
    document_id = session_document_id(SessionKey(org, session_id))
    return {
        "$and": [
            {"started_at": {"$lte": at}},
            {"$or": [{"started_at": {"$lt": at}}, {"_id": {"$lt": document_id}}]},
        ]
    }
