"""What Temporal needs before sessions can run in it; safe to repeat on a database in use."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.sessions.search_attributes import SearchAttribute
from stack.supervision.health import NotHealthyError

NAMESPACE = "default"

# A closed session id never runs again within this time.
RETENTION = timedelta(days=30)

SEARCH_ATTRIBUTES = {one.value: one.kind for one in SearchAttribute}
"""Types by names, as Temporal's own tools spell them."""


async def prepare_temporal(address: str) -> None:
    """Register the search attributes that are missing and set the namespace's retention.

    Args:
        address: `host:port` of the front-end of this stack's own Temporal.

    Raises:
        NotHealthyError: Temporal does not take it yet.
    """
    try:
        await prepare_namespace(await Client.connect(address, namespace=NAMESPACE))
    except (RPCError, RuntimeError) as problem:
        raise NotHealthyError(f"Temporal is not prepared yet: {problem}") from None


async def prepare_namespace(client: Client) -> None:
    """Register what is missing in the namespace of a client, and set how long histories are kept.

    Raises:
        RPCError: Temporal does not take it (yet).
    """
    await _register_search_attributes(client)
    await _keep_histories(client)


async def _register_search_attributes(client: Client) -> None:
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )


async def _keep_histories(client: Client) -> None:
    wanted = Duration()
    wanted.FromTimedelta(RETENTION)
    found = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    if found.config.workflow_execution_retention_ttl != wanted:
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace,
                config=NamespaceConfig(workflow_execution_retention_ttl=wanted),
            )
        )
