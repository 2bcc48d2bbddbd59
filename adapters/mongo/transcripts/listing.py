"""Lists and searches of transcripts.

Every query begins with a `$match` that one index covers completely: the org, one entry of an array
(a search term, or a facet such as `agent:ag-1`), and a range of sort keys. A second `$match` has
the other conditions. MongoDB merges the two stages; the local stack's server would use no index
that does not cover the whole filter.
"""

from typing import Any

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.reading import StoredModel
from adapters.mongo.sort_keys import check_sort_key, sort_key_of_seconds, sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.transcripts.lines import COLLECTION, EVERY
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
        ranges = ranges_of(wanted)
        if after is not None:
            beyond = "$lt" if order.order is SortOrder.DESCENDING else "$gt"
            ranges.setdefault(field, []).append({beyond: check_sort_key(after)})
        leading, further = _conditions(wanted, ranges, field)
        stages: list[Document] = [{"$match": further}] if further else []
        stages += [
            {"$sort": {field: -1 if order.order is SortOrder.DESCENDING else 1}},
            {"$limit": limit + 1},
            {"$project": {"line": 1, field: 1}},
        ]
        return _LINE.page(await self._lines.of(org).aggregate(leading, stages), limit, field)

    @override
    async def has_agent(self, org: str, agent: str) -> bool:
        return await self._lines.of(org).find_one({"facets": f"agent:{agent}"}) is not None


def ranges_of(wanted: TranscriptFilter) -> dict[str, list[Document]]:
    """The conditions on sort keys, by field."""
    started: list[Document] = []
    if wanted.started_from:
        started.append({"$gte": sort_key_of_time(wanted.started_from)})
    if wanted.started_to:
        started.append({"$lt": sort_key_of_time(wanted.started_to)})
    lasted: list[Document] = []
    if wanted.min_duration is not None:
        lasted.append({"$gte": sort_key_of_seconds(wanted.min_duration)})
    if wanted.max_duration is not None:
        # Up to the last id of that millisecond: `/` is the character after `.`.
        last = sort_key_of_seconds(wanted.max_duration).replace(".", "/")
        lasted.append({"$lt": last})
    named = {"started": started, "duration": lasted}
    return {field: conditions for field, conditions in named.items() if conditions}


def facets_wanted(wanted: TranscriptFilter) -> list[str]:
    """The requested facets, the rarest first."""
    summarised = None if wanted.has_summary is None else "yes" if wanted.has_summary else "no"
    named = {
        "user": wanted.user_id,
        "agent": wanted.agent,
        "end": wanted.end_reason,
        "outcome": wanted.outcome,
        "summary": wanted.summary,
        "summarised": summarised,
        "state": wanted.state,
    }
    return [f"{name}:{value}" for name, value in named.items() if value is not None]


def _conditions(
    wanted: TranscriptFilter, ranges: dict[str, list[Document]], sorted_by: str
) -> tuple[Document, Document]:
    """The part of the filter that one index covers, and the rest."""
    facets = facets_wanted(wanted)
    # Long words are rare.
    terms = sorted(wanted.terms, key=len, reverse=True)
    further: list[Document] = []
    if terms:
        leading: dict[str, Any] = {"terms": terms[0]}
        ranged = "started" if "started" in ranges else None
        further += [{"terms": term} for term in terms[1:]]
        further += [{"facets": facet} for facet in facets]
    else:
        leading = {"facets": facets[0] if facets else EVERY}
        further += [{"facets": facet} for facet in facets[1:]]
        ranged = next((name for name in (sorted_by, "started", "duration") if name in ranges), None)
    for field, conditions in ranges.items():
        if field == ranged:
            leading[field] = _tightest(conditions)
        else:
            further.append({field: _tightest(conditions)})
    return leading, ({"$and": further} if further else {})


def _tightest(conditions: list[Document]) -> Document:
    """The conditions combined: a filter can name each operator once."""
    bounds: Document = {}
    for condition in conditions:
        for operator, place in condition.items():
            known = bounds.get(operator, place)
            bounds[operator] = min(known, place) if operator == "$lt" else max(known, place)
    return bounds
