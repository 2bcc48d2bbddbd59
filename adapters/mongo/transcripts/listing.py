"""Lists and searches of transcripts.

Every query begins with a `$match` that one index covers completely: the org, one entry of an array
(a search term, or a facet such as `agent:ag-1`), and a range of sort keys. A second `$match` has
the other conditions. MongoDB merges the two stages; the local stack's server would use no index
that does not cover the whole filter.
"""

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.reading import StoredModel
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_seconds, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.transcripts.lines import COLLECTION, EVERY, facets_of
from domain.json_model import reader
from domain.paging import Page
from domain.transcripts.listing import (
    SortField,
    SortOrder,
    TranscriptFilter,
    TranscriptLine,
    TranscriptOrder,
)
from domain.transcripts.ports import TranscriptListing

_FIELDS = {
    SortField.STARTED_AT: "started",
    SortField.ENDED_AT: "ended",
    SortField.DURATION: "duration",
}
_LINE = StoredModel(
    "the line of transcript", lambda document: reader(TranscriptLine)(document["line"])
)


class MongoTranscriptLists(TranscriptListing):
    """Reads the lines that `MongoTranscriptLines` keeps."""

    def __init__(self, database: Database) -> None:
        self._lines = OrgCollection(database[COLLECTION])

    @override
    async def page(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        after: str | None,
    ) -> Page[TranscriptLine]:
        field = _FIELDS[order.field]
        descending = order.order is SortOrder.DESCENDING
        ranges = ranges_of(wanted)
        if after is not None:
            bounds = ranges.setdefault(field, {})
            beyond = check_sort_key(after)
            if descending:
                bounds["$lt"] = min(beyond, bounds.get("$lt", beyond))
            else:
                bounds["$gt"] = beyond
        leading, further = _conditions(wanted, ranges, field)
        stages: list[Document] = [{"$match": further}] if further else []
        stages += [
            {"$sort": {field: -1 if descending else 1}},
            {"$limit": limit + 1},
            {"$project": {"line": 1, field: 1}},
        ]
        return _LINE.page(await self._lines.of(org).aggregate(leading, stages), limit, field)

    @override
    async def has_agent(self, org: str, agent: str) -> bool:
        return await self._lines.of(org).find_one({"facets": f"agent:{agent}"}) is not None


def ranges_of(wanted: TranscriptFilter) -> dict[str, Document]:
    """The bounds of sort keys, by field."""
    started: Document = {}
    if wanted.started_from:
        started["$gte"] = sort_key_of_time(wanted.started_from)
    if wanted.started_to:
        started["$lt"] = sort_key_of_time(wanted.started_to)
    lasted: Document = {}
    if wanted.min_duration is not None:
        lasted["$gte"] = sort_key_of_seconds(wanted.min_duration)
    if wanted.max_duration is not None:
        # Up to the last id of that millisecond: `/` is the character after `.`.
        lasted["$lt"] = sort_key_of_seconds(wanted.max_duration).replace(".", "/")
    return {"started": started, "duration": lasted}


def _conditions(
    wanted: TranscriptFilter, ranges: dict[str, Document], sorted_by: str
) -> tuple[Document, Document]:
    """The part of the filter that one index covers, and the rest."""
    facets: list[Document] = [{"facets": each} for each in facets_of(wanted, wanted.has_summary)]
    # Long words are rare.
    longest_first = sorted(wanted.terms, key=len, reverse=True)
    terms: list[Document] = [{"terms": term} for term in longest_first]
    leading, *further = [*terms, *facets] or [{"facets": EVERY}]
    indexed = ("started",) if terms else (sorted_by, "started", "duration")
    ranged = next((field for field in indexed if ranges.get(field)), None)
    for field, bounds in ranges.items():
        if field == ranged:
            leading[field] = bounds
        elif bounds:
            further.append({field: bounds})
    return leading, ({"$and": further} if further else {})
