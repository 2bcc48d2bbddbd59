"""The task queues of the workers: each kind of waiting has a queue and slots of its own.

A step that waits for something outside holds a slot for as long. If all steps shared their slots,
one hanging model could hold every one of them, and no room would be deleted.
"""

from collections.abc import Mapping
from enum import StrEnum


class TaskKind(StrEnum):
    """What the steps of a task queue wait for."""

    SESSIONS = "sessions"
    """Workflows, and the short steps that start and end a call."""
    PRESENCE = "presence"
    """Checks of who is in a room during the call."""
    JOINING = "joining"
    """Waiting for an agent to join."""
    MODELS = "models"
    """Summaries and analyses by a model."""
    ARCHIVE = "archive"
    """Reads and writes in MongoDB, which are retried until it answers."""
    WEBHOOKS = "webhooks"
    """Attempts to deliver an event to a customer's receiver."""
    LISTENING = "listening"
    """Transcribing the call of an external agent; lasts as long as the call."""


DEFAULT_SLOTS: Mapping[TaskKind, int] = {
    TaskKind.SESSIONS: 200,
    TaskKind.PRESENCE: 100,
    TaskKind.JOINING: 200,
    TaskKind.MODELS: 50,
    TaskKind.ARCHIVE: 100,
    TaskKind.WEBHOOKS: 100,
    TaskKind.LISTENING: 200,
}
"""Steps of each kind that one worker process runs at the same time."""

KIND_OF: Mapping[str, TaskKind] = {
    "open_room": TaskKind.SESSIONS,
    "dispatch_agent": TaskKind.SESSIONS,
    "retract_attempts": TaskKind.SESSIONS,
    "ask_agents_to_finish": TaskKind.SESSIONS,
    "remove_agents": TaskKind.SESSIONS,
    "remove_callers": TaskKind.SESSIONS,
    "delete_room": TaskKind.SESSIONS,
    "sweep": TaskKind.SESSIONS,
    "look_for_agent": TaskKind.PRESENCE,
    "look_for_callers": TaskKind.PRESENCE,
    "await_agent": TaskKind.JOINING,
    "write_summary": TaskKind.MODELS,
    "analyse_call": TaskKind.MODELS,
    "count_free_places": TaskKind.ARCHIVE,
    "release_place": TaskKind.ARCHIVE,
    "free_slot": TaskKind.ARCHIVE,
    "record_session": TaskKind.ARCHIVE,
    "seal_transcript": TaskKind.ARCHIVE,
    "begin_summary": TaskKind.ARCHIVE,
    "give_up_summary": TaskKind.ARCHIVE,
    "give_up_analysis": TaskKind.ARCHIVE,
    "announce_summary": TaskKind.ARCHIVE,
    "announce_session": TaskKind.ARCHIVE,
    "next_due_orgs": TaskKind.ARCHIVE,
    "expire_batch": TaskKind.ARCHIVE,
    "record_expired": TaskKind.ARCHIVE,
    "attempt_delivery": TaskKind.WEBHOOKS,
    "listen_to_agent": TaskKind.LISTENING,
}
"""The kind of each activity, by its name."""

URGENT = frozenset(
    {
        *("ask_agents_to_finish", "remove_agents", "remove_callers", "delete_room"),
        *("release_place", "free_slot"),
    }
)
"""Activities that end a call, and so make room for others: they go before all that start one."""
URGENT_PRIORITY = 1
"""Temporal's highest; 3 is the default of everything else."""


def task_queue_of(main: str, kind: TaskKind) -> str:
    """The task queue of a kind; workflows and the steps of `SESSIONS` are on the main one."""
    return main if kind is TaskKind.SESSIONS else f"{main}-{kind}"
