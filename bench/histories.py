"""The size of a session's history in Temporal: events, bytes and billable actions, by kind."""

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from bench.actions import billable_actions
from bench.bare import TASK_QUEUE, BareSession
from bench.series import Comparison, Series
from bench.spans import StepTimes
from bench.stand import Stand
from domain.ids import SessionKey, session_workflow_id, summary_workflow_id


@dataclass
class Kinds:
    """Events of one kind of workflow, summed over all rounds.

    Attributes:
        rounds: how many workflows.
        count: events by kind.
        size: bytes by kind.
        actions: billable actions by kind.
    """

    rounds: int = 0
    count: Counter[str] = field(default_factory=Counter[str])
    size: Counter[str] = field(default_factory=Counter[str])
    actions: Counter[str] = field(default_factory=Counter[str])

    def add(self, history: WorkflowHistory) -> tuple[int, int]:
        """Add one history; returns its number of events and bytes."""
        self.actions += billable_actions(history)
        for event in history.events:
            kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
            self.count[kind] += 1
            self.size[kind] += event.ByteSize()
        return len(history.events), sum(event.ByteSize() for event in history.events)


@dataclass
class HistoryReport:
    """The comparisons, where the events come from, and how long the session's steps took."""

    events: Comparison
    size: Comparison
    actions: Comparison
    kinds: dict[str, Kinds]
    steps: StepTimes


async def measure_histories(stand: Stand, rounds: int, step: Callable[[], None]) -> HistoryReport:
    """Compare short calls with an agent, and their summaries, with workflows that do nothing."""
    names = ("bare, 6 regular", "bare, 6 local", "session without a caller", "call", "its summary")
    sessions: list[WorkflowHistory] = []
    kinds = {name: Kinds() for name in names}
    events = {name: Series(name, "events") for name in names}
    size = {name: Series(name, "bytes") for name in names}
    actions = {name: Series(name, "actions") for name in names}

    def take(name: str, history: WorkflowHistory | None) -> None:
        if history is not None:
            kinds[name].rounds += 1
            count, octets = kinds[name].add(history)
            events[name].add(count)
            size[name].add(octets)
            actions[name].add(billable_actions(history).total())

    for _ in range(rounds):
        take(names[0], await _bare(stand, local=False))
        take(names[1], await _bare(stand, local=True))
        key = await stand.start("joined")
        await stand.end(key)
        take(names[2], await _history(stand, session_workflow_id(key)))
        key = await stand.call()
        sessions.append(await _history(stand, session_workflow_id(key)))
        take(names[3], sessions[-1])
        take(names[4], await _finished(stand, key))
        step()
    note = (
        "bare: a workflow with 6 empty activities and one signal;"
        " call: agent and caller joined, end requested, report, transcript, summary"
    )
    billing = (
        "as Temporal Cloud counts them; a call also pays for its summary, and for one check of its"
        " caller every 30 s"
    )
    return HistoryReport(
        Comparison("events in Temporal", events[names[0]], [events[n] for n in names[1:]], [note]),
        Comparison("bytes in Temporal", size[names[0]], [size[n] for n in names[1:]]),
        Comparison(
            "billable actions", actions[names[0]], [actions[n] for n in names[1:]], [billing]
        ),
        kinds,
        StepTimes.of(sessions),
    )


async def _bare(stand: Stand, *, local: bool) -> WorkflowHistory:
    workflow_id = f"bench/{uuid.uuid4().hex}"
    handle = await stand.temporal.start_workflow(
        BareSession.run, local, id=workflow_id, task_queue=TASK_QUEUE
    )
    await handle.signal(BareSession.report)
    await handle.result()
    return await handle.fetch_history()


async def _finished(stand: Stand, key: SessionKey) -> WorkflowHistory | None:
    """Return the summary's history once it has ended; None on a stack without MongoDB."""
    handle = stand.temporal.get_workflow_handle(summary_workflow_id(key))
    try:
        await handle.result()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return await handle.fetch_history()


async def _history(stand: Stand, workflow_id: str) -> WorkflowHistory:
    return await stand.temporal.get_workflow_handle(workflow_id).fetch_history()
