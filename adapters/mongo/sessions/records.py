"""The readable projection of sessions, behind the port `SessionArchive`."""

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, session_document_id, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import page_of, part_of, read_one
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.versioned import replace_if_newer
from domain.ids import SessionKey
from domain.json_model import reader
from domain.paging import Page
from domain.sessions.listing import SessionFilter, SessionPage, line_of
from domain.sessions.session import SessionState, SessionStatus

COLLECTION = "sessions"
_WHAT = "the record of session"


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
            # What lists are filtered and ordered by.
            "agent": status.agent_id or status.agent_name,
            "place": sort_key_of_time(status.started_at) + status.session_id,
        }
        async with storage_errors("store a session"):
            mine = self._sessions.of_session(key)
            await replace_if_newer(mine, storable(document, what), "version")

    async def get(self, key: SessionKey) -> SessionStatus | None:
        """The last stored status; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a session"):
            found = await self._sessions.of_session(key).find_one({"_id": session_document_id(key)})
        return None if found is None else read_one(found, reader(SessionStatus), _WHAT)

    async def not_closed(self, limit: int, after: str | None = None) -> Page[SessionStatus]:
        """Records of all orgs that are not terminal, by their ids; for the reaper alone.

        With `after`, those behind that one.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        # Not those of the states that are known: another version may know further ones.
        not_closed = {"state": {"$ne": SessionState.CLOSED.value}}
        async with storage_errors("look for open sessions"):
            found = await self._sessions.every_org_behind(after, limit, not_closed)
        return part_of(found, limit, SessionStatus.model_validate, _WHAT)

    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        """The org's closed sessions, the newest first.

        Raises:
            StorageUnavailable: MongoDB does not answer.
            InvalidInput: `after` is not from an earlier page.
        """
        conditions = _conditions(wanted, after)
        async with storage_errors("list sessions"):
            found = await self._sessions.of(org).find(
                conditions, sort=[("place", -1)], limit=limit + 1
            )
        page = page_of(found, limit, reader(SessionStatus), _WHAT)
        return SessionPage(sessions=[line_of(status) for status in page.items], next=page.next)


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
