"""Signals to sessions; repeating one has no effect."""

from collections.abc import Callable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client

from adapters.temporal.client import RPC_TIMEOUT
from domain.ids import SessionKey, session_workflow_id
from domain.sessions.messages import (
    AgentFailed,
    AgentLost,
    EndRequest,
    Message,
    ParticipantChanged,
    PlaceChanged,
    ReportReceived,
)
from workflows.session import SessionWorkflow

_HANDLERS: dict[type[Message], Callable[..., object]] = {
    EndRequest: SessionWorkflow.end,
    AgentFailed: SessionWorkflow.agent_failed,
    AgentLost: SessionWorkflow.agent_lost,
    ReportReceived: SessionWorkflow.report_received,
    ParticipantChanged: SessionWorkflow.participant_changed,
    PlaceChanged: SessionWorkflow.place_changed,
}


async def send_signal(client: Client, key: SessionKey, message: Message) -> None:
    """Send a signal whose event id is Temporal's request id.

    Temporal drops a signal with a request id that the workflow has had. So a repeated message adds
    nothing to the history and does not count towards the limit of 10,000 signals per workflow.
    The SDK's `handle.signal` makes a new request id each time, hence the plain call.

    Raises:
        RPCError: Temporal refuses it; NOT_FOUND if the session is closed or unknown.
        RuntimeError: a lazy client was never connected.
    """
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=session_workflow_id(key)),
        signal_name=_HANDLERS[type(message)].__name__,
        identity=client.identity,
        request_id=message.event_id,
    )
    request.input.payloads.extend(await client.data_converter.encode([message]))
    await client.workflow_service.signal_workflow_execution(
        request, retry=True, timeout=RPC_TIMEOUT
    )
