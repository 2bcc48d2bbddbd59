"""The readable projection of sessions, behind the port `SessionArchive`."""

from adapters.mongo.client import Database
from adapters.mongo.documents import dump, session_document_id, storable
from adapters.mongo.errors import storage_errors
from adapters.mongo.versioned import replace_if_newer
from domain.ids import SessionKey
from domain.session import SessionState, SessionStatus

COLLECTION = "sessions"


class MongoSessions:
    """One document per session, the last known status. Times are kept to the millisecond."""

    def __init__(self, database: Database) -> None:
        self._sessions = database[COLLECTION]

    async def record(self, status: SessionStatus) -> None:
        """Store a status unless the same or a newer version of it is stored.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        key = SessionKey(status.org, status.session_id)
        what = "the session's status"
        document = {"_id": session_document_id(key), **dump(status, what)}
        async with storage_errors("store a session"):
            await replace_if_newer(self._sessions, storable(document, what), "version")

    async def get(self, key: SessionKey) -> SessionStatus | None:
        """The last stored status; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a session"):
            found = await self._sessions.find_one({"_id": session_document_id(key)})
        return None if found is None else SessionStatus.model_validate(found)

    async def not_closed(self, limit: int) -> list[SessionStatus]:
        """Records of all orgs that are not terminal, the oldest first; for the reaper alone.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        states = [state.value for state in SessionState if state is not SessionState.CLOSED]
        open_ones = {"state": {"$in": states}}
        async with storage_errors("look for open sessions"):
            found = await self._sessions.find(open_ones).sort("started_at", 1).to_list(limit)
        return [SessionStatus.model_validate(document) for document in found]
