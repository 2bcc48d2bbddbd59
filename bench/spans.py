"""How long the steps of workflows waited and ran, according to their histories."""

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
        waited: milliseconds from its scheduling until a worker started it.
        worked: milliseconds from then until its end was recorded.
    """

    name: str
    waited: float
    worked: float


@dataclass
class StepTimes:
    """The steps of all measured workflows, by name."""

    waited: dict[str, Series]
    worked: dict[str, Series]

    @classmethod
    def of(cls, histories: list[WorkflowHistory]) -> "StepTimes":
        """Collect the steps of these histories, in order of first appearance."""
        steps = cls({}, {})
        for history in histories:
            for span in _spans(list(history.events)):
                for by_name, value in ((steps.waited, span.waited), (steps.worked, span.worked)):
                    # Temporal's own times, of its one clock: a step may take less than it resolves.
                    series = by_name.setdefault(span.name, Series(span.name, "ms", above=-1.0))
                    series.add(value)
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
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    return attributes.scheduled_event_id, attributes.started_event_id


def _between(first: HistoryEvent, second: HistoryEvent) -> float:
    return (second.event_time.ToNanoseconds() - first.event_time.ToNanoseconds()) / 1e6
