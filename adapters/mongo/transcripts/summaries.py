"""Summary records."""

import json

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, dump, storable, to_json
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.transcripts.renewal import Renewal
from domain.ids import SessionKey
from domain.json_model import reader
from domain.transcripts.ports import SummaryArchive
from domain.transcripts.summary import Summary

COLLECTION = "summaries"
FREE_FORM = ("analysis", "plan")
"""Fields that hold schemas, and data by them; stored as JSON text."""


class MongoSummaries(SummaryArchive):
    """One document per session; its only writer is the session's summary workflow."""

    def __init__(self, database: Database, lines: Renewal | None = None) -> None:
        self._summaries = OrgCollection(database[COLLECTION])
        self._lines = lines or Renewal()

    @override
    async def get(self, key: SessionKey) -> Summary | None:
        return await self._summaries.of_session(key).get(document_id(*key), _SUMMARY)

    @override
    async def put(self, summary: Summary) -> None:
        key = SessionKey(summary.org, summary.session_id)
        fields = dump(summary, "the summary")
        for name in FREE_FORM:
            if fields[name] is not None:
                fields[name] = to_json(fields[name], "the summary")
        document = storable({"_id": document_id(*key), **fields}, "the summary")
        await self._summaries.of_session(key).put_one(document)
        await self._lines.renew(key)


def _read(document: Document) -> Summary:
    read = {name: json.loads(text) for name in FREE_FORM if (text := document.get(name))}
    return reader(Summary)(document | read)


_SUMMARY = StoredModel("the summary of session", _read)
