"""The sessions as Temporal knows them, for the watchdog and the reaper."""

from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.errors import is_not_found, temporal_error, temporal_errors
from adapters.temporal.signals import send_signal
from domain.agents.ports import AgentLosses
from domain.errors import Unavailable
from domain.ids import SessionKey, key_of_workflow_id, session_workflow_id
from domain.sessions.messages import AgentLost, Message, ParticipantChange, ParticipantChanged
from domain.sessions.ports import SessionDirectory
from domain.sessions.search_attributes import SearchAttribute
from domain.sessions.session import SessionState, SessionStatus, WaitingFor
from workflows.session_parts.search_attributes import AGENT, JOIN_ATTEMPTS, ROOM

# Not starting ones: their room may not exist yet. Visibility may be seconds behind.
_LIVE = (
    "WorkflowType = 'session' AND ExecutionStatus = 'Running'"
    f" AND {SearchAttribute.STATE} IN ('live', 'recovering')"
)
_CUT_SHORT = "WorkflowType = 'session' AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed')"
LOOK_BACK = timedelta(days=1)
MOST_LISTED = 500
SIGNAL_TIME = timedelta(seconds=5)

log = structlog.get_logger()


class TemporalSessionDirectory(SessionDirectory, AgentLosses):
    """Reads and signals sessions."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @override
    async def live_sessions(self) -> dict[SessionKey, str]:
        found: dict[SessionKey, str] = {}
        with temporal_errors():
            async for execution in self._client.list_workflows(_LIVE):
                key = key_of_workflow_id(execution.id)
                room = execution.typed_search_attributes.get(ROOM)
                if key and room:
                    found[key] = room
        return found

    @override
    async def is_open(self, key: SessionKey) -> bool:
        # Also while only its room's deletion is left, unlike `TemporalListing.life`: what the
        # session still does itself is not the reaper's task.
        found = await describe(self._client, key)
        return found is not None and found.status is WorkflowExecutionStatus.RUNNING

    @override
    async def closed_from_outside(self) -> list[SessionStatus]:
        since = datetime.now(UTC) - LOOK_BACK
        query = f"{_CUT_SHORT} AND CloseTime > '{since:%Y-%m-%dT%H:%M:%SZ}'"
        with temporal_errors():
            executions = self._client.list_workflows(query, limit=MOST_LISTED)
            return [found async for each in executions if (found := _status(each)) is not None]

    @override
    async def tell_room_is_gone(self, key: SessionKey) -> None:
        message = ParticipantChanged(
            event_id="reaper:room_finished", change=ParticipantChange.ROOM_FINISHED
        )
        await self._signal(key, message)

    @override
    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        await self._signal(key, loss)

    async def _signal(self, key: SessionKey, message: Message) -> None:
        try:
            await send_signal(self._client, key, message, SIGNAL_TIME)
        except RPCError as error:
            if is_not_found(error):
                return
            trouble = temporal_error(error)
            if isinstance(trouble, Unavailable):
                raise trouble from None
            # One session that accepts no more signals must not hide the others from the watchdog.
            log.error(
                "session signal refused",
                org=key.org,
                session=key.session_id,
                signal=type(message).__name__,
                reason=trouble.message,
            )


async def describe(client: Client, key: SessionKey) -> WorkflowExecutionDescription | None:
    """The description of a session's workflow; None if Temporal does not know it.

    Raises:
        Unavailable: Temporal does not answer.
    """
    try:
        return await client.get_workflow_handle(session_workflow_id(key)).describe()
    except (RPCError, RuntimeError) as error:
        if is_not_found(error):
            return None
        raise temporal_error(error) from None


def _status(execution: WorkflowExecution) -> SessionStatus | None:
    """The status of a session that cannot answer, from its search attributes."""
    key = key_of_workflow_id(execution.id)
    if key is None:
        return None
    shown = execution.typed_search_attributes
    return SessionStatus(
        org=key.org,
        session_id=key.session_id,
        room_name=shown.get(ROOM) or "",
        state=SessionState.STARTING,
        waiting_for=WaitingFor.NOTHING,
        version=0,
        agent_name=shown.get(AGENT) or "",
        attempt=shown.get(JOIN_ATTEMPTS) or 0,
        started_at=execution.start_time,
        ended_at=execution.close_time,
        closed_at=execution.close_time,
    )
