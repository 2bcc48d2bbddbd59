"""The summaries, behind the port `SummaryArchive`."""

from adapters.mongo.client import Database
from adapters.mongo.documents import dump, session_document_id, storable
from adapters.mongo.errors import storage_errors
from domain.ids import SessionKey
from domain.summary import Summary

COLLECTION = "summaries"


class MongoSummaries:
    """One document per session; its one writer is the session's summary workflow."""

    def __init__(self, database: Database) -> None:
        self._summaries = database[COLLECTION]

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a summary"):
            found = await self._summaries.find_one({"_id": session_document_id(key)})
        return None if found is None else Summary.model_validate(found)

    async def put(self, summary: Summary) -> None:
        """Store the summary record.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        document_id = session_document_id(SessionKey(summary.org, summary.session_id))
        document = storable({"_id": document_id, **dump(summary, "the summary")}, "the summary")
        async with storage_errors("store a summary"):
            await self._summaries.replace_one({"_id": document_id}, document, upsert=True)
