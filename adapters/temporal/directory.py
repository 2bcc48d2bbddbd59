"""The sessions as Temporal knows them, for the watchdog and the reaper."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.encryption import CannotDecrypt
from adapters.temporal.errors import (
    is_not_found,
    message_error,
    temporal_error,
    temporal_errors,
)
from adapters.temporal.signals import send_signal
from domain.agents.ports import AgentLosses
from domain.errors import MessageRefused
from domain.ids import SessionKey, key_of_workflow_id, session_workflow_id
from domain.json_model import reader
from domain.sessions.messages import AgentLost, Message, ParticipantChange, ParticipantChanged
from domain.sessions.ports import SessionDirectory
from domain.sessions.search_attributes import SearchAttribute
from domain.sessions.session import SessionState, SessionStatus, WaitingFor
from workflows.session_parts.search_attributes import (
    AGENT,
    END_REASON,
    JOIN_ATTEMPTS,
    OUTCOME,
    ROOM,
    STATE,
    WAITING_FOR,
)

# Without starting sessions, whose room may not exist yet.
_LIVE = (
    "WorkflowType = 'session' AND ExecutionStatus = 'Running'"
    f" AND {SearchAttribute.STATE} IN ('live', 'recovering')"
)
_CUT_SHORT = "WorkflowType = 'session' AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed')"
METADATA_MEMO = "metadata"
"""Encrypted, unlike search attributes; lists of sessions read it."""
QUEUE_MEMO = "queue_seconds"
"""How long the session may wait in the queue; lists tell by it whether one that waits is stuck."""
LOOK_BACK = timedelta(days=1)
MOST_LISTED = 500

log = structlog.get_logger()


class TemporalSessionDirectory(SessionDirectory, AgentLosses):
    """Reads and signals sessions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @override
    async def live_sessions(self) -> dict[SessionKey, str]:
        return {
            key: room
            async for key, execution in found_by(self._client, _LIVE)
            if (room := execution.typed_search_attributes.get(ROOM))
        }

    @override
    async def is_open(self, key: SessionKey) -> bool:
        return await is_running(self._client, key)

    @override
    async def closed_from_outside(self) -> list[SessionStatus]:
        since = datetime.now(UTC) - LOOK_BACK
        query = f"{_CUT_SHORT} AND CloseTime > '{since:%Y-%m-%dT%H:%M:%SZ}'"
        found = found_by(self._client, query, MOST_LISTED)
        return [
            status_of(key, execution, await memo_of(execution)) async for key, execution in found
        ]

    @override
    async def tell_room_is_gone(self, key: SessionKey) -> None:
        message = ParticipantChanged(
            event_id="reaper:room_finished", change=ParticipantChange.ROOM_FINISHED
        )
        try:
            await self._signal(key, message)
        except MessageRefused as error:
            # One session that accepts no more signals must not hide the others from the reaper.
            log.error(
                "session signal refused",
                org=key.org,
                session=key.session_id,
                signal=type(message).__name__,
                reason=error.message,
            )

    @override
    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        await self._signal(key, loss)

    async def _signal(self, key: SessionKey, message: Message) -> None:
        try:
            await send_signal(self._client, key, message)
        except RPCError as error:
            if not is_not_found(error):
                raise message_error(error) from None


async def found_by(
    client: Client, query: str, limit: int | None = None
) -> AsyncGenerator[tuple[SessionKey, WorkflowExecution]]:
    """The sessions that Temporal's visibility finds; it may lag by seconds."""
    with temporal_errors():
        async for execution in client.list_workflows(query, limit=limit):
            if key := key_of_workflow_id(execution.id):
                yield key, execution


async def describe(client: Client, key: SessionKey) -> WorkflowExecutionDescription | None:
    """The description of a session's workflow; None if Temporal does not know it."""
    try:
        return await client.get_workflow_handle(session_workflow_id(key)).describe()
    except (RPCError, RuntimeError) as error:
        if is_not_found(error):
            return None
        raise temporal_error(error) from None


def has_ended(found: WorkflowExecution) -> bool:
    """Whether a session has ended; its workflow runs on until its room is deleted."""
    closed = found.typed_search_attributes.get(STATE) == SessionState.CLOSED
    return closed or found.status is not WorkflowExecutionStatus.RUNNING


async def is_running(client: Client, key: SessionKey) -> bool:
    """Whether a session's workflow runs, also after `has_ended`."""
    found = await describe(client, key)
    return found is not None and found.status is WorkflowExecutionStatus.RUNNING


async def memo_of(execution: WorkflowExecution) -> Mapping[str, Any]:
    """The memo of a session's workflow; empty if it cannot be decrypted."""
    try:
        return await execution.memo()
    except CannotDecrypt as error:
        log.error("memo unreadable", workflow=execution.id, reason=error.message)
        return {}


def status_of(
    key: SessionKey, execution: WorkflowExecution, memo: Mapping[str, Any]
) -> SessionStatus:
    """A session's status as far as its workflow's search attributes and memo show it."""
    shown = execution.typed_search_attributes
    return reader(SessionStatus)(
        {
            **key._asdict(),
            "room_name": shown.get(ROOM) or "",
            "state": shown.get(STATE) or SessionState.STARTING,
            "waiting_for": shown.get(WAITING_FOR) or WaitingFor.NOTHING,
            "version": 0,
            "agent_name": shown.get(AGENT) or "",
            "outcome": shown.get(OUTCOME) or None,
            "end_reason": shown.get(END_REASON) or None,
            "attempt": shown.get(JOIN_ATTEMPTS) or 0,
            "metadata": memo.get(METADATA_MEMO) or {},
            "started_at": execution.start_time,
            "ended_at": execution.close_time,
            "closed_at": execution.close_time,
        }
    )
