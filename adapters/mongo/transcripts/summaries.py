"""Summary records."""

import json

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, dump, session_document_id, storable, to_json
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import OrgCollection
from domain.ids import SessionKey
from domain.json_model import reader
from domain.transcripts.ports import SummaryArchive
from domain.transcripts.summary import Summary

COLLECTION = "summaries"
FREE_FORM = ("analysis", "plan")
"""Fields that hold schemas, and data by them; stored as JSON text."""


class MongoSummaries(SummaryArchive):
    """One document per session; its only writer is the session's summary workflow."""

    def __init__(self, database: Database) -> None:
        self._summaries = OrgCollection(database[COLLECTION])

    @override
    async def get(self, key: SessionKey) -> Summary | None:
        return await self._summaries.of_session(key).get(session_document_id(key), _SUMMARY)

    @override
    async def put(self, summary: Summary) -> None:
        key = SessionKey(summary.org, summary.session_id)
        fields = dump(summary, "the summary")
        for name in FREE_FORM:
            if fields[name] is not None:
                fields[name] = to_json(fields[name], "the summary")
        document = storable({"_id": session_document_id(key), **fields}, "the summary")
        await self._summaries.of_session(key).put_one(document)


def _read(document: Document) -> Summary:
    texts = {name: document.get(name) for name in FREE_FORM}
    read = {name: json.loads(text) for name, text in texts.items() if text is not None}
    return reader(Summary)(document | read)


_SUMMARY = StoredModel("the summary of session", _read)
