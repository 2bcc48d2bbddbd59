"""The open sessions as Temporal knows them, behind the port `SessionDirectory`."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable
from domain.ids import SessionKey, key_of_workflow_id, session_workflow_id
from domain.messages import ParticipantChange, ParticipantChanged
from domain.session import SessionState, SessionStatus, WaitingFor

_AGENT = SearchAttributeKey.for_keyword("SessionAgent")
_ATTEMPTS = SearchAttributeKey.for_int("SessionJoinAttempts")
_ROOM = SearchAttributeKey.for_keyword("SessionRoom")
# Not those that are starting: their room may not be there yet. Visibility may be seconds behind.
_LIVE = (
    "WorkflowType = 'session' AND ExecutionStatus = 'Running'"
    " AND SessionState IN ('live', 'recovering')"
)


_CUT_SHORT = "WorkflowType = 'session' AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed')"
LOOK_BACK = timedelta(days=1)
MOST_LISTED = 500


class TemporalSessions:
    """Looks at sessions from outside, without a state of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def live_sessions(self) -> dict[SessionKey, str]:
        """The sessions with a call in progress, with LiveKit's names of their rooms.

        Raises:
            Unavailable: Temporal does not answer.
        """
        found: dict[SessionKey, str] = {}
        try:
            async for execution in self._client.list_workflows(_LIVE):
                key = key_of_workflow_id(execution.id)
                room = execution.typed_search_attributes.get(_ROOM)
                if key and room:
                    found[key] = room
        except RPCError as error:
            raise _away(error) from None
        return found

    async def is_open(self, key: SessionKey) -> bool:
        """Whether the session's workflow is running; not from visibility, so it is exact.

        Raises:
            Unavailable: Temporal does not answer.
        """
        handle = self._client.get_workflow_handle(session_workflow_id(key))
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise _away(error) from None
        return description.status is WorkflowExecutionStatus.RUNNING

    async def closed_from_outside(self) -> list[SessionStatus]:
        """What is known of the sessions that were terminated, or failed, during the last day.

        Raises:
            Unavailable: Temporal does not answer.
        """
        since = datetime.now(UTC) - LOOK_BACK
        query = f"{_CUT_SHORT} AND CloseTime > '{since:%Y-%m-%dT%H:%M:%SZ}'"
        try:
            executions = self._client.list_workflows(query, limit=MOST_LISTED)
            return [found async for each in executions if (found := _status(each)) is not None]
        except RPCError as error:
            raise _away(error) from None

    async def tell_room_is_gone(self, key: SessionKey) -> None:
        """What LiveKit's webhook `room_finished` would have said.

        Raises:
            Unavailable: Temporal does not answer.
        """
        message = ParticipantChanged(
            event_id="reaper:room_finished", change=ParticipantChange.ROOM_FINISHED
        )
        handle = self._client.get_workflow_handle(session_workflow_id(key))
        try:
            await handle.signal("participant_changed", message)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise _away(error) from None


def _status(execution: WorkflowExecution) -> SessionStatus | None:
    """What the search attributes tell of a session that can tell nothing itself."""
    key = key_of_workflow_id(execution.id)
    if key is None:
        return None
    shown = execution.typed_search_attributes
    return SessionStatus(
        org=key.org,
        session_id=key.session_id,
        room_name=shown.get(_ROOM) or "",
        state=SessionState.STARTING,
        waiting_for=WaitingFor.NOTHING,
        version=0,
        agent_name=shown.get(_AGENT) or "",
        attempt=shown.get(_ATTEMPTS) or 0,
        started_at=execution.start_time,
        ended_at=execution.close_time,
        closed_at=execution.close_time,
    )


def _away(error: RPCError) -> Unavailable:
    return Unavailable(f"Temporal does not answer ({error.status.name})")
