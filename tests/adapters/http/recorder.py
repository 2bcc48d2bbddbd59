"""The commands that our code really sends to MongoDB, and how they are answered."""

from dataclasses import dataclass
from typing import Any, cast

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from adapters.mongo.client import Database
from adapters.mongo.documents import Document

_EXPLAINED = {
    "find": ("find", "filter", "sort", "limit", "projection"),
    "aggregate": ("aggregate", "pipeline", "cursor"),
}


@dataclass(frozen=True)
class Plan:
    """How one command is answered."""

    index: list[str]
    """Fields of the index that is walked; empty if the whole collection is."""
    asked: set[str]
    """Fields of the filter that is looked up (an aggregation's first stage)."""
    examined: int
    """Documents that are looked at."""

    @property
    def is_covered(self) -> bool:
        """Whether the index alone finds what is asked for: org first, no other field in between."""
        return self.index[:1] == ["org"] and set(self.index[: len(self.asked)]) == self.asked


class Recorder(CommandListener):
    """Keeps the queries that are sent through a client."""

    def __init__(self) -> None:
        self.sent: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        fields = _EXPLAINED.get(event.command_name)
        if fields:
            self.sent.append(
                {name: event.command[name] for name in fields if name in event.command}
            )

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    async def plans(self, database: Database) -> list[Plan]:
        """How the commands are answered that were sent since the last look."""
        sent, self.sent = self.sent, []
        return [await _plan(database, command) for command in sent]


async def _plan(database: Database, command: Document) -> Plan:
    answer = await database.command("explain", command, verbosity="executionStats")
    asked: Document = command.get("filter") or command["pipeline"][0]["$match"]
    return Plan(
        _index_of(answer["queryPlanner"]["winningPlan"]),
        set(asked),
        answer["executionStats"]["totalDocsExamined"],
    )


def _index_of(stage: dict[str, Any]) -> list[str]:
    while stage:
        if stage["stage"] == "IXSCAN":
            return list(cast("dict[str, int]", stage["keyPattern"]))
        stage = stage.get("inputStage", {})
    return []
