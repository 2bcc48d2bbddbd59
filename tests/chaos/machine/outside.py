"""Workflows that somebody cancels, terminates and resets, past Everline."""

from dataclasses import dataclass, field

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import SessionKey, session_workflow_id
from domain.sessions.session import SessionState, SessionStatus
from tests.chaos.machine.faults import Outside
from tests.harness.histories import Histories

_RESETTABLE = (SessionState.JOINING, SessionState.LIVE, SessionState.RECOVERING)
"""Later, a reset would start children again that have their own ids."""
_NOT_NOW = (
    *(RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED),
    *(RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN, RPCStatusCode.INVALID_ARGUMENT),
)


@dataclass
class Operator:
    """Somebody with access to Temporal."""

    histories: Histories
    terminated: set[SessionKey] = field(default_factory=set[SessionKey])
    """Sessions whose end nobody could wait for any more."""
    reset: set[SessionKey] = field(default_factory=set[SessionKey])

    async def do(self, action: Outside, status: SessionStatus) -> bool:
        """Do it to a session's workflow; False if that was not possible."""
        key = SessionKey(status.org, status.session_id)
        try:
            match action:
                case Outside.CANCEL:
                    await self.histories.session(key).cancel()
                case Outside.TERMINATE:
                    # Also if the response is lost: it may have been done.
                    self.terminated.add(key)
                    await self.histories.session(key).terminate("chaos")
                case Outside.RESET:
                    return await self._reset(key, status)
        except RPCError as error:
            if error.status not in _NOT_NOW:
                raise
            return False
        return True

    async def _reset(self, key: SessionKey, status: SessionStatus) -> bool:
        """Have the workflow go on from its last completed task, in a run of its own."""
        if status.state not in _RESETTABLE:
            return False
        client, workflow_id = self.histories.client, session_workflow_id(key)
        history = await self.histories.session(key).fetch_history()
        completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        tasks = [event.event_id for event in history.events if event.event_type == completed]
        if not tasks:
            return False
        self.reset.add(key)
        await client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow_id),
                reason="chaos",
                workflow_task_finish_event_id=tasks[-1],
                request_id=f"chaos-{workflow_id}-{tasks[-1]}",
            )
        )
        return True
