"""Prepares Temporal for sessions; safe to repeat on a database in use."""

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

RETENTION = timedelta(days=30)
"""A closed session's id cannot be used again for this long."""
SEARCH_ATTRIBUTES = {one.value: one.kind for one in SearchAttribute}
"""Type names, as Temporal's own tools spell them, by attribute name."""


async def prepare_temporal(address: str) -> None:
    """Prepare the namespace of the Temporal at `host:port`.

    Raises:
        NotHealthyError: Temporal is not ready for it yet.
    """
    try:
        await prepare_namespace(await Client.connect(address, namespace=NAMESPACE))
    except (RPCError, RuntimeError) as problem:
        raise NotHealthyError(f"Temporal is not prepared yet: {problem}") from None


async def prepare_namespace(client: Client) -> None:
    """Register missing search attributes in the client's namespace, and set its retention.

    Raises:
        RPCError: Temporal refuses, or is not ready for it yet.
    """
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
    wanted = Duration(seconds=int(RETENTION.total_seconds()))
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
