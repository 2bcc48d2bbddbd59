"""What Temporal refuses is no outage: each status gets the class of problem that it is."""

import pytest
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import WorkflowNotReadyFailure
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.directory import TemporalSessionDirectory
from adapters.temporal.errors import is_not_found, temporal_error
from domain.errors import Conflict, EverlineError, InvalidInput, MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost
from tests.servers import TemporalServer


async def client_of(server: TemporalServer, namespace: str = "default") -> Client:
    return await Client.connect(
        server.address, namespace=namespace, data_converter=pydantic_data_converter
    )


async def refused(client: Client, workflow_id: str) -> RPCError:
    with pytest.raises(RPCError) as error:
        await client.get_workflow_handle(workflow_id).describe()
    return error.value


async def test_a_request_that_temporal_cannot_take_is_invalid(
    temporal_server: TemporalServer,
) -> None:
    client = await client_of(temporal_server)
    with pytest.raises(RPCError) as error:
        await client.start_workflow("nothing", id="x" * 2_000, task_queue="nobody-listens")

    assert error.value.status is RPCStatusCode.INVALID_ARGUMENT
    meant = temporal_error(error.value)
    assert isinstance(meant, InvalidInput)
    assert "WorkflowId" in meant.message


async def test_a_missing_workflow_is_not_a_missing_namespace(
    temporal_server: TemporalServer,
) -> None:
    workflow = await refused(await client_of(temporal_server), "nobody")
    namespace = await refused(await client_of(temporal_server, "nowhere"), "nobody")

    assert workflow.status is namespace.status is RPCStatusCode.NOT_FOUND
    assert (is_not_found(workflow), is_not_found(namespace)) == (True, False)
    meant = temporal_error(namespace)
    assert isinstance(meant, Unavailable)
    assert "TEMPORAL_NAMESPACE" in (meant.cure or "")


async def test_search_attributes_that_nobody_registered_are_the_operators(
    temporal_server: TemporalServer,
) -> None:
    client = await client_of(temporal_server)
    with pytest.raises(RPCError) as error:
        await client.count_workflows("NobodyRegisteredThis = 'x'")

    assert error.value.status is RPCStatusCode.INVALID_ARGUMENT
    meant = temporal_error(error.value)
    assert isinstance(meant, Unavailable)
    assert "search attributes" in (meant.cure or "")


def rpc_error(status: RPCStatusCode, detail: WorkflowNotReadyFailure | None = None) -> RPCError:
    described = GrpcStatus(code=int(status))
    if detail is not None:
        described.details.add().Pack(detail)
    return RPCError("so it is", status, described.SerializeToString())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (rpc_error(RPCStatusCode.FAILED_PRECONDITION), Conflict),
        (rpc_error(RPCStatusCode.FAILED_PRECONDITION, WorkflowNotReadyFailure()), Unavailable),
        (rpc_error(RPCStatusCode.RESOURCE_EXHAUSTED), Unavailable),
        (rpc_error(RPCStatusCode.PERMISSION_DENIED), Unavailable),
        (RuntimeError("not connected"), Unavailable),
    ],
)
def test_states_refusals_and_outages_are_told_apart(
    error: RPCError | RuntimeError, kind: type[EverlineError]
) -> None:
    assert type(temporal_error(error)) is kind


async def test_a_loss_that_temporal_refuses_is_the_watchdogs_to_tell_again(
    temporal_server: TemporalServer,
) -> None:
    sessions = TemporalSessionDirectory(await client_of(temporal_server))
    larger_than_an_event = "x" * 3_000_000
    loss = AgentLost(event_id="lost", attempt=1, reason="silent", job_id=larger_than_an_event)

    with pytest.raises(MessageRefused, match="Blob"):
        await sessions.tell_agent_is_lost(SessionKey("acme", "s-1"), loss)
