"""Which messages a session has handled: Temporal and its senders may deliver one twice."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.sessions.messages import Message

REMEMBERED_EVENTS = 2_000
"""Event ids kept to recognise a message that arrives twice."""


class HandledMessages:
    """Remembers the last messages by their event ids."""

    def __init__(self) -> None:
        self._event_ids: dict[str, None] = {}

    def is_new(self, message: Message) -> bool:
        """Whether a message arrives for the first time; from now on it is a known one."""
        if message.event_id in self._event_ids:
            return False
        self._event_ids[message.event_id] = None
        if len(self._event_ids) > REMEMBERED_EVENTS:
            del self._event_ids[next(iter(self._event_ids))]
        return True
