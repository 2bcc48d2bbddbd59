"""Statistics of transcripts by aggregation.

Both aggregations begin with a filter that one index covers: org, agent and time. `$percentile`
needs MongoDB 7.0.
"""

from collections import Counter
from datetime import datetime
from typing import Any

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.errors import storage_errors
from adapters.mongo.sort_keys import sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from adapters.mongo.transcripts.lines import COLLECTION
from domain.transcripts.ports import TranscriptFigures
from domain.transcripts.statistics import JoinStats, Spread, TranscriptStats

_JOINED = {"$gt": ["$line.joins", 0]}
_TOOK_PLACE = {"$gt": ["$line.duration_seconds", 0]}
_SPREADS: dict[str, Any] = {
    # A call that did not take place has no duration; a 0 would distort the average.
    "duration": {"$cond": [_TOOK_PLACE, "$line.duration_seconds", None]},
    "turns": "$line.turn_count",
    "response": "$line.response_seconds",
    "cost": "$line.cost",
    "join": "$line.join_seconds",
}
_SUMS = (
    "user_turns",
    "agent_turns",
    "interruptions",
    "tool_calls",
    "tool_errors",
    "recordings",
    "attempts",
)
_GROUPS = {
    "states": "state",
    "outcomes": "outcome",
    "end_reasons": "end_reason",
    "summaries": "summary",
}


class MongoTranscriptStats(TranscriptFigures):
    """Reads the lines that `MongoTranscriptLines` keeps."""

    def __init__(self, database: Database) -> None:
        self._lines = OrgCollection(database[COLLECTION])

    @override
    async def stats(
        self, org: str, agent: str, started_from: datetime, started_to: datetime
    ) -> TranscriptStats:
        lines = self._lines.of(org)
        wanted: Document = {
            "facets": f"agent:{agent}",
            "started": {
                "$gte": sort_key_of_time(started_from),
                "$lt": sort_key_of_time(started_to),
            },
        }
        async with storage_errors("compute statistics"):
            figures = await lines.aggregate(wanted, [_FIGURES])
            groups = await lines.aggregate(wanted, [_COUNTS])
        return _stats(figures[0], groups) if figures else TranscriptStats()


def _spread(name: str, value: Any) -> Document:
    return {
        f"{name}_count": _count_if({"$ne": [{"$ifNull": [value, None]}, None]}),
        f"{name}_average": {"$avg": value},
        f"{name}_percentiles": {
            "$percentile": {"input": value, "p": [0.5, 0.95], "method": "approximate"}
        },
        f"{name}_max": {"$max": value},
    }


def _count_if(condition: Document) -> Document:
    return {"$sum": {"$cond": [condition, 1, 0]}}


_FIGURES: Document = {
    "$group": {
        "_id": None,
        "count": {"$sum": 1},
        "joined": _count_if(_JOINED),
        "dispatched": _count_if({"$gt": ["$line.attempts", 0]}),
        "cost_total": {"$sum": _SPREADS["cost"]},
        **{name: {"$sum": f"$line.{name}"} for name in _SUMS},
        **{
            field: accumulator
            for name, value in _SPREADS.items()
            for field, accumulator in _spread(name, value).items()
        },
    }
}
_COUNTS: Document = {
    "$group": {"_id": {name: f"$line.{name}" for name in _GROUPS.values()}, "count": {"$sum": 1}}
}


def _stats(figures: Document, groups: list[Document]) -> TranscriptStats:
    spreads = {name: _read(figures, name) for name in _SPREADS}
    joins = JoinStats(
        sessions=figures["dispatched"],
        joined=figures["joined"],
        attempts=figures["attempts"],
        seconds=spreads.pop("join"),
    )
    counts = {field: _counted(name, groups) for field, name in _GROUPS.items()}
    return TranscriptStats(
        joins=joins,
        **spreads,
        **counts,
        **{name: figures[name] for name in ("count", "cost_total", *_SUMS) if name != "attempts"},
    )


def _read(figures: Document, name: str) -> Spread:
    p50, p95 = figures[f"{name}_percentiles"] or (None, None)
    others = {field: figures[f"{name}_{field}"] for field in ("count", "average", "max")}
    return Spread(p50=p50, p95=p95, **others)


def _counted(name: str, groups: list[Document]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group["_id"].get(name) or "none"] += group["count"]
    return dict(sorted(counts.items()))
