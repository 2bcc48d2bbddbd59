"""What a history and a timeline prove."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHistory

from domain.sessions.end_reasons import EndReason
from domain.sessions.messages import SessionResult
from domain.sessions.session import Outcome, SessionStatus


@dataclass(frozen=True)
class Closed:
    """What is left of a call: how it ended, and what happened."""

    result: SessionResult
    status: SessionStatus
    history: WorkflowHistory

    @property
    def ended(self) -> tuple[Outcome, EndReason]:
        """How it ended."""
        return self.result.outcome, self.result.end_reason

    @property
    def told(self) -> list[str]:
        """The timeline that operators read."""
        return [entry.text for entry in self.status.timeline]


def faults(history: WorkflowHistory) -> list[str]:
    """Why workflow tasks failed; a message that came while one was closing is no fault."""
    failed = [
        event.workflow_task_failed_event_attributes.cause
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    normal = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return [WorkflowTaskFailedCause.Name(cause) for cause in failed if cause != normal]


def outcomes_published(history: WorkflowHistory) -> int:
    """How often a session set its outcome, as its history tells it."""
    return sum(
        "SessionOutcome"
        in event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        for event in history.events
    )


def children(history: WorkflowHistory) -> Counter[str]:
    """How many child workflows of each kind were begun."""
    return Counter(
        event.start_child_workflow_execution_initiated_event_attributes.workflow_type.name
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    )


def in_order(told: Sequence[str], *parts: str) -> bool:
    """Whether a timeline has entries with these parts, in this order."""
    entries = iter(told)
    return all(any(part in entry for entry in entries) for part in parts)


def activities_scheduled(history: WorkflowHistory) -> Counter[str]:
    """How often each activity was scheduled."""
    return Counter(
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    )
