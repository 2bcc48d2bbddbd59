"""The summaries, behind the port `SummaryArchive`."""

import json

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, session_document_id, storable, to_json
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_one
from adapters.mongo.tenancy import OrgCollection
from domain.ids import SessionKey
from domain.json_model import reader
from domain.transcripts.summary import Summary

COLLECTION = "summaries"
FREE_FORM = ("analysis", "plan")
"""Fields that hold schemas, and data by them; stored as JSON text."""


class MongoSummaries:
    """One document per session; its one writer is the session's summary workflow."""

    def __init__(self, database: Database) -> None:
        self._summaries = OrgCollection(database[COLLECTION])

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session; None if there is none in this org.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a summary"):
            found = await self._summaries.of_session(key).find_one(
                {"_id": session_document_id(key)}
            )
        return None if found is None else read_one(found, _summary, "the summary of session")

    async def put(self, summary: Summary) -> None:
        """Store the summary record.

        Raises:
            StorageUnavailable: MongoDB does not take it.
            InvalidInput: it cannot be stored at all.
        """
        key = SessionKey(summary.org, summary.session_id)
        fields = dump(summary, "the summary")
        for name in FREE_FORM:
            if fields[name] is not None:
                fields[name] = to_json(fields[name], "the summary")
        document = storable({"_id": session_document_id(key), **fields}, "the summary")
        async with storage_errors("store a summary"):
            await self._summaries.of_session(key).put_one(document)


def _summary(document: Document) -> Summary:
    texts = {name: document.get(name) for name in FREE_FORM}
    read = {name: json.loads(text) for name, text in texts.items() if text is not None}
    return reader(Summary)(document | read)
