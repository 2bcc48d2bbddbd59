"""How long the steps of a workflow waited and worked, by the times in its history."""

from collections.abc import Iterator
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from bench.series import Series

_CLOSED = (
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
)


@dataclass(frozen=True)
class Span:
    """One step.

    Attributes:
        name: the activity, or `workflow task`.
        waited: milliseconds from its scheduling until a worker had it.
        worked: milliseconds until its end was written.
    """

    name: str
    waited: float
    worked: float


@dataclass
class SessionActivities:
    """The steps of all measured workflows, by name."""

    waited: dict[str, Series]
    worked: dict[str, Series]

    @classmethod
    def of(cls, histories: list[WorkflowHistory]) -> "SessionActivities":
        """Collect the steps of these histories, in the order of their first appearance."""
        steps = cls({}, {})
        for history in histories:
            for span in _spans(list(history.events)):
                steps.waited.setdefault(span.name, Series(span.name, "ms")).values.append(
                    span.waited
                )
                steps.worked.setdefault(span.name, Series(span.name, "ms")).values.append(
                    span.worked
                )
        return steps


def _spans(events: list[HistoryEvent]) -> Iterator[Span]:
    by_id = {event.event_id: event for event in events}
    for event in events:
        if event.event_type in _CLOSED:
            ids = _activity_ids(event)
            scheduled, started = by_id[ids[0]], by_id.get(ids[1])
            name = scheduled.activity_task_scheduled_event_attributes.activity_type.name
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            done = event.workflow_task_completed_event_attributes
            scheduled, started = by_id[done.scheduled_event_id], by_id[done.started_event_id]
            name = "workflow task"
        else:
            continue
        if started is not None:
            yield Span(name, _between(scheduled, started), _between(started, event))


def _activity_ids(event: HistoryEvent) -> tuple[int, int]:
    for field in (
        "activity_task_completed_event_attributes",
        "activity_task_failed_event_attributes",
        "activity_task_timed_out_event_attributes",
        "activity_task_canceled_event_attributes",
    ):
        if event.HasField(field):
            found = getattr(event, field)
            return found.scheduled_event_id, found.started_event_id
    raise ValueError(f"event {event.event_id} is no end of an activity")


def _between(first: HistoryEvent, second: HistoryEvent) -> float:
    return (second.event_time.ToNanoseconds() - first.event_time.ToNanoseconds()) / 1e6
