"""One org floods, a model hangs, and nobody else's calls wait for that."""

import asyncio
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType

from adapters.temporal.runs import TemporalSummaryRuns
from domain.ids import SessionKey
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.ports import Room
from domain.task_queues import KIND_OF, TaskKind, task_queue_of
from domain.transcripts.summary import SummaryOrder, SummaryStatus
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.rooms import FakeRooms
from tests.servers import TemporalServer
from tests.waiting import eventually
from tests.worker.studios import older_worker, studio_of, worker
from tests.workflows.calls import Call, Studio

FLOOD = "flood"
HANGS = "a transcript on which the model hangs"
FEW_SLOTS = {TaskKind.SESSIONS: 4, TaskKind.JOINING: 4, TaskKind.MODELS: 2}
TWELVE = range(12)


async def hanging_summaries(studio: Studio) -> list[SessionKey]:
    """Summaries on which the model hangs, more than there are slots for."""
    studio.summariser.gates[HANGS] = asyncio.Event()
    runs = TemporalSummaryRuns(studio.client, studio.settings.temporal_task_queue)
    keys = [SessionKey(FLOOD, f"summary-{number}") for number in range(6)]
    for key in keys:
        said = Turn(item_id="i", attempt=1, role=Role.USER, text=HANGS, created_at=now())
        await Transcripts(studio.archive.transcripts).record_turns(key, [said], now())
        assert await runs.start(SummaryOrder(org=key.org, session_id=key.session_id))
    await eventually(lambda: len(studio.summariser.calls) == FEW_SLOTS[TaskKind.MODELS])
    return keys


def now() -> datetime:
    return datetime.now(UTC)


async def waiting_calls(studio: Studio) -> list[Call]:
    """Calls of one org whose agents never come."""
    studio.org = FLOOD
    calls = [studio.call(NEVER_COMES, join_timeout=120) for _ in TWELVE]
    await asyncio.gather(*(call.start() for call in calls))
    await eventually(lambda: all(call.room in studio.rooms.dispatched for call in calls))
    return calls


async def queues(call: Call) -> dict[str, str]:
    """The task queue of each step that a call has taken."""
    found: dict[str, str] = {}
    async for event in call.handle.fetch_history_events():
        if event.event_type is EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            step = event.activity_task_scheduled_event_attributes
            found[step.activity_type.name] = step.task_queue.name
    return found


async def test_another_orgs_call_starts_and_ends_during_a_flood(
    temporal_server: TemporalServer,
) -> None:
    studio = await studio_of(temporal_server)
    async with worker(studio, FEW_SLOTS):
        summaries = await hanging_summaries(studio)
        flood = await waiting_calls(studio)

        studio.org = "other"
        other = await studio.call(summary_wait=1).live()
        await other.end()
        closed = await other.closed()

        assert closed.ended == ("completed", "end_requested")
        assert other.room not in studio.rooms.rooms
        states = [(await call.status()).state for call in flood]
        assert states == ["joining"] * len(flood), "they still wait, each in its first attempt"
        pending = [await studio.archive.summaries.get(key) for key in summaries]
        assert {one.status for one in pending if one} == {SummaryStatus.PENDING}

        main = studio.settings.temporal_task_queue
        taken = await queues(other)
        assert taken == {name: task_queue_of(main, KIND_OF[name]) for name in taken}
        assert {"await_agent", "delete_room", "seal_transcript"} <= taken.keys()
        first = (await other.handle.fetch_history()).events[0]
        assert first.workflow_execution_started_event_attributes.priority.fairness_key == "other"

        studio.summariser.gates[HANGS].set()
        await asyncio.gather(*(call.end() for call in flood))
        for call in flood:
            assert (await call.closed()).ended == ("cancelled", "end_requested")


async def test_an_org_above_its_share_finds_every_agent(temporal_server: TemporalServer) -> None:
    studio = await studio_of(temporal_server)
    async with worker(studio, FEW_SLOTS):
        calls = [studio.call(Plays(appears=1.0)) for _ in TWELVE]
        await asyncio.gather(*(call.live(with_caller=False) for call in calls))
        assert {(await call.status()).attempt for call in calls} == {1}
        for call in calls:
            await call.crew.report(1, ReportEnd.AGENT_ENDED)
            await call.closed()


class SlowRooms(FakeRooms):
    """Rooms that take their time to be created, while `slow`."""

    slow = False

    async def create(
        self, room: str, metadata: str, empty_timeout: int, departure_timeout: int
    ) -> Room:
        if self.slow:
            await asyncio.sleep(0.3)
        return await super().create(room, metadata, empty_timeout, departure_timeout)


async def test_the_end_of_a_call_goes_before_the_starts_that_wait(
    temporal_server: TemporalServer,
) -> None:
    rooms = SlowRooms()
    studio = await studio_of(temporal_server, rooms)
    async with worker(studio, {TaskKind.SESSIONS: 1}):
        ending = await studio.call(archive=False).live()
        rooms.slow = True
        starts = [studio.call(NEVER_COMES, archive=False, join_timeout=120) for _ in TWELVE]
        await asyncio.gather(*(call.start() for call in starts))
        await ending.end()
        await ending.closed()

        created = [call for call in starts if call.room in rooms.rooms]
        assert len(created) < len(starts), "the room was deleted only after all starts"
        rooms.slow = False
        await asyncio.gather(*(call.end() for call in starts))
        for call in starts:
            await call.closed()


# ── upgrade and rollback ─────────────────────────────────────────────────────────────────────────


async def test_a_new_worker_takes_over_the_steps_of_an_older_one(
    temporal_server: TemporalServer,
) -> None:
    studio = await studio_of(temporal_server)
    async with older_worker(studio):
        call = await studio.call(Plays(appears=2.0)).start()
        await eventually(lambda: studio.rooms.count("participants", call.room) > 0)
        assert (await queues(call))["await_agent"] == studio.settings.temporal_task_queue
    async with worker(studio, {}):
        await call.until("joined", lambda status: status.joins == 1)
        await call.caller_joins()
        await call.crew.report(1, ReportEnd.AGENT_ENDED)
        assert (await call.closed()).ended == ("completed", "agent_ended")


async def test_after_a_rollback_one_new_process_serves_the_queues_that_older_ones_do_not_know(
    temporal_server: TemporalServer,
) -> None:
    studio = await studio_of(temporal_server)
    async with worker(studio, {}):
        call = await studio.call().live()
        await call.until("the caller", lambda status: status.waiting_for == "call_end")

        async def checked_on_its_own_queue() -> bool:
            return "look_for_callers" in await queues(call)

        await eventually(checked_on_its_own_queue)
    async with older_worker(studio), worker(studio, {TaskKind.SESSIONS: 0}):
        # No webhook tells of it: the check that waits on the new queue finds out.
        call.caller_goes()
        closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")
