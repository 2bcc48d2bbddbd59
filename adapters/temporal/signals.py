"""Signals to sessions; repeating one has no effect.

Temporal allows 10,000 signals of a workflow. Beyond, what must reach a session is an update.
"""

from collections.abc import Callable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError

from adapters.temporal.client import RPC_TIMEOUT
from adapters.temporal.errors import is_signal_limit
from domain.ids import SessionKey, session_workflow_id
from domain.sessions.messages import (
    AgentFailed,
    AgentLost,
    DeliverMessage,
    EndRequest,
    Message,
    ParticipantChange,
    ParticipantChanged,
    ParticipantKind,
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
    """Send a signal, or the same message as an update if Temporal takes no more signals.

    Raises:
        RPCError: Temporal refuses it; NOT_FOUND if the session is closed or unknown.
        RuntimeError: a lazy client was never connected.
    """
    try:
        await _signal(client, key, message)
    except RPCError as error:
        if not is_signal_limit(error) or not await _deliver(client, key, message):
            raise


async def _deliver(client: Client, key: SessionKey, message: Message) -> bool:
    """Send the message as an update; returns whether the session has handled it."""
    match message:
        case EndRequest():
            delivery = DeliverMessage(end=message)
        case AgentFailed():
            delivery = DeliverMessage(agent_failed=message)
        case AgentLost():
            delivery = DeliverMessage(agent_lost=message)
        case ReportReceived():
            delivery = DeliverMessage(report=message)
        case ParticipantChanged(change=ParticipantChange.ROOM_FINISHED):
            delivery = DeliverMessage(participant=message)
        case ParticipantChanged(change=ParticipantChange.LEFT, kind=ParticipantKind.AGENT):
            delivery = DeliverMessage(participant=message)
        case _:
            # A session looks itself who else is in its room.
            return False
    handle = client.get_workflow_handle_for(SessionWorkflow.run, session_workflow_id(key))
    try:
        # The SDK's overloads leave type parameters open.
        await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.deliver, delivery, id=message.event_id, rpc_timeout=RPC_TIMEOUT
        )
    except (WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return False
    return True


async def _signal(client: Client, key: SessionKey, message: Message) -> None:
    """Send a signal whose event id is Temporal's request id.

    Temporal drops a signal with a request id that the workflow has had. So a repeated message adds
    nothing to the history and does not count towards the limit of 10,000 signals per workflow.
    The SDK's `handle.signal` makes a new request id each time, hence the plain call.
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
