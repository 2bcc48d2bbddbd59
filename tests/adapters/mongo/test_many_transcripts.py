"""Many transcripts of many orgs: each query is answered by an index, whatever others have.

The plans are MongoDB's own (`explain`) of the commands that the code really sends. `--large-data`
(`make large-data`) does the same with 100,000 transcripts.
"""

import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from adapters.mongo.access.audit import MongoAudit
from adapters.mongo.client import Database
from adapters.mongo.documents import Document
from adapters.mongo.indexes import ensure_indexes
from adapters.mongo.transcripts.lines import COLLECTION, MongoTranscriptLines, document_of_line
from adapters.mongo.transcripts.listing import MongoTranscriptLists
from adapters.mongo.transcripts.statistics import MongoTranscriptStats
from domain.access.audit import AuditAction
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.listing import (
    SortField,
    SortOrder,
    TranscriptFilter,
    TranscriptLine,
    TranscriptOrder,
    TranscriptState,
)
from domain.transcripts.summary import SummaryStatus
from domain.transcripts.transcript import Role, Turn
from services.transcripts.listing import TranscriptLists
from tests.adapters.http.recorder import Plan, Recorder
from tests.servers import start_mongo

ORGS = 50
BATCH = 100
"""Documents of one insert: each has dozens of index entries, and one insert is one transaction."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = "org-00"
SAID = "booking table window invoice refund delivery tomorrow evening birthday children"

FILTERS: list[dict[str, Any]] = [
    {},
    {"agent": "ag-1"},
    {"user_id": "user-3"},
    {"outcome": Outcome.AGENT_LOST},
    {"end_reason": EndReason.CALLER_LEFT},
    {"state": TranscriptState.PARTIAL},
    {"has_summary": True},
    {"started_from": NOON, "started_to": NOON + timedelta(days=2)},
    {"min_duration": 60, "max_duration": 120},
    {"terms": ["invoice"]},
    {"terms": ["table", "tomorrow"], "agent": "ag-1"},
    {"agent": "ag-1", "outcome": Outcome.COMPLETED, "started_from": NOON, "min_duration": 30},
]


def line(org: str, number: int) -> Document:
    """The document of one call; the same number is the same call in every org."""
    chance = random.Random(number)
    began = NOON + timedelta(minutes=number)
    lasted = chance.uniform(5, 600)
    reported, summarised = chance.random() < 0.9, chance.random() < 0.8
    known = TranscriptLine(
        org=org,
        session_id=f"s-{number}",
        agent=f"ag-{number % 3}",
        user_id=f"user-{number % 20}",
        state=TranscriptState.COMPLETE if reported else TranscriptState.PARTIAL,
        outcome=Outcome.COMPLETED if reported else Outcome.AGENT_LOST,
        end_reason=chance.choice([EndReason.CALLER_LEFT, EndReason.AGENT_ENDED]),
        started_at=began,
        joined_at=began,
        ended_at=began + timedelta(seconds=lasted),
        duration_seconds=lasted,
        turn_count=2,
        attempts=1,
        joins=1,
        join_seconds=chance.uniform(0.2, 2),
        summary=SummaryStatus.READY if summarised else None,
        updated_at=began,
    )
    said = " ".join(chance.sample(SAID.split(), 3))
    turn = Turn(item_id="i", attempt=1, seq=0, role=Role.USER, text=said, created_at=began)
    return {**document_of_line(known, [turn]), "rev": 1}


@dataclass
class Shelf:
    """A database with many transcripts, asked through a client that is listened to."""

    database: Database
    recorder: Recorder
    per_org: int

    async def fill(self, orgs: range) -> None:
        """Give these orgs their transcripts."""
        for org in orgs:
            documents = [line(f"org-{org:02d}", number) for number in range(self.per_org)]
            for start in range(0, self.per_org, BATCH):
                await self.database[COLLECTION].insert_many(documents[start : start + BATCH])

    async def ask_everything(self) -> dict[str, Plan]:
        """Every kind of query that is ever asked, with how it is answered."""
        plans: dict[str, Plan] = {}
        lists = TranscriptLists(
            MongoTranscriptLists(self.database), MongoTranscriptStats(self.database), None
        )
        for asked in FILTERS:
            for field in SortField:
                for direction in SortOrder:
                    order = TranscriptOrder(field=field, order=direction)
                    wanted = TranscriptFilter(**asked)
                    page = await lists.page(OURS, wanted, order, 20, None)
                    assert page.items
                    if page.next:
                        await lists.page(OURS, wanted, order, 20, page.next)
                    await self._note(plans, f"{asked} by {field} {direction}")
        now = NOON + timedelta(days=3)
        assert (await lists.stats(OURS, "ag-1", None, None, now)).stats.count
        await self._note(plans, "stats")
        await MongoTranscriptLists(self.database).has_agent(OURS, "ag-1")
        await self._note(plans, "an agent's first")
        lines = MongoTranscriptLines(self.database)
        assert await lines.ended_before(OURS, NOON + timedelta(hours=1), 10, None)
        await self._note(plans, "old ones")
        for action in (None, AuditAction.TRANSCRIPT_DELETED):
            await MongoAudit(self.database).page(OURS, action, 10, None)
            await self._note(plans, f"audit {action}")
        return plans

    async def _note(self, plans: dict[str, Plan], name: str) -> None:
        for number, plan in enumerate(await self.recorder.plans(self.database)):
            plans[f"{name}, query {number}"] = plan


@pytest.fixture
async def shelf(request: pytest.FixtureRequest) -> AsyncGenerator[Shelf]:
    large = request.config.getoption("--large-data")
    recorder = Recorder()
    # A server of its own: what is left of so many documents would slow the others' tests down.
    async with start_mongo() as server:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            server.uri, event_listeners=[recorder], tz_aware=True
        )
        try:
            database = client["many"]
            await ensure_indexes(database)
            yield Shelf(database, recorder, 100_000 // ORGS if large else 2_500 // ORGS)
        finally:
            client.close()


@pytest.mark.timeout(1800)
async def test_each_query_is_one_indexs_work_and_others_data_costs_nothing(shelf: Shelf) -> None:
    await shelf.fill(range(1))
    alone = await shelf.ask_everything()
    await shelf.fill(range(1, ORGS))
    assert await shelf.database[COLLECTION].estimated_document_count() == ORGS * shelf.per_org

    among_many = await shelf.ask_everything()

    assert among_many == alone
    assert [name for name, plan in among_many.items() if not plan.is_covered] == []
    beyond = {name: p.examined for name, p in among_many.items() if p.examined > shelf.per_org}
    assert beyond == {}
    ours = shelf.database[COLLECTION]
    of_agent = await ours.count_documents({"org": OURS, "facets": "agent:ag-1"})
    with_word = await ours.count_documents({"org": OURS, "terms": "invoice"})
    assert among_many["stats, query 0"].examined == of_agent
    assert among_many[f"{FILTERS[9]} by startedAt desc, query 0"].examined == with_word
