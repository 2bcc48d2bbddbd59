"""Billable actions of a workflow as Temporal Cloud counts them: docs.temporal.io/cloud/actions.

A history does not show queries, refused updates, heartbeats, and tries of an activity that is still
pending. A session makes no query, and its first heartbeat comes after two seconds of waiting for an
agent. While a caller is in the room, one more try every 30 seconds checks that.
"""

from collections import Counter

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

VERSIONING = "TemporalChangeVersion"
"""The search attribute that a patch sets; Temporal Cloud does not bill it."""
_KINDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signal",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "update",
    EventType.EVENT_TYPE_TIMER_STARTED: "timer",
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activity",
}


def billable_actions(history: WorkflowHistory) -> Counter[str]:
    """Actions by kind. The start of a child workflow is its parent's action."""
    actions: Counter[str] = Counter()
    tasks_with_markers: set[int] = set()
    for event in history.events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                started = event.workflow_execution_started_event_attributes
                if not started.HasField("parent_workflow_execution"):
                    actions["workflow start"] += 1
            case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                actions["child workflow"] += 2
            case EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
                actions["search attributes"] += not _is_versioning(event)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                # Local activities and patches: one action for all of a workflow task.
                marker = event.marker_recorded_event_attributes
                tasks_with_markers.add(marker.workflow_task_completed_event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                actions["activity"] += event.activity_task_started_event_attributes.attempt - 1
            case kind if kind in _KINDS:
                actions[_KINDS[kind]] += 1
            case _:
                pass
    actions["local activities of a task"] = len(tasks_with_markers)
    return +actions


def _is_versioning(event: HistoryEvent) -> bool:
    upsert = event.upsert_workflow_search_attributes_event_attributes
    return set(upsert.search_attributes.indexed_fields) == {VERSIONING}
