"""Prepares Temporal for sessions: the `temporal-setup` service of docker-compose.yml.

Creates the namespace if there is none, registers the search attributes, sets the retention. Safe to
repeat. Temporal Cloud wants this done with its own tools.
"""

import asyncio
import os
import sys
import time

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stack.layout.temporal_setup import RETENTION, prepare_temporal
from stack.supervision.health import NotHealthyError

# A new namespace is known to all parts of the server after up to 10 s.
LIMIT_SECONDS = 120.0
PAUSE_SECONDS = 1.0


async def set_up(address: str, namespace: str) -> None:
    """Prepare a namespace, waiting for a server that has just started.

    Raises:
        NotHealthyError: it did not work within `LIMIT_SECONDS`; the message says why.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            await create_namespace(address, namespace)
            return await prepare_temporal(address, namespace)
        except NotHealthyError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def create_namespace(address: str, namespace: str) -> None:
    """Create the namespace unless it exists.

    Raises:
        NotHealthyError: Temporal does not do it (yet).
    """
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    try:
        client = await Client.connect(address)
        if not await exists(client, namespace):
            await client.workflow_service.register_namespace(
                RegisterNamespaceRequest(
                    namespace=namespace, workflow_execution_retention_period=retention
                )
            )
    except RPCError as problem:
        if problem.status is not RPCStatusCode.ALREADY_EXISTS:
            raise NotHealthyError(f"no namespace {namespace!r} yet: {problem}") from None
    except RuntimeError as problem:
        raise NotHealthyError(f"Temporal does not answer at {address}: {problem}") from None


async def exists(client: Client, namespace: str) -> bool:
    """Tell whether there is such a namespace."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace)
        )
    except RPCError as problem:
        if problem.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


def main() -> int:
    """Set up what the environment names; returns the exit code."""
    address = os.environ.get("TEMPORAL_ADDRESS") or "localhost:7233"
    namespace = os.environ.get("TEMPORAL_NAMESPACE") or "default"
    try:
        asyncio.run(set_up(address, namespace))
    except NotHealthyError as problem:
        sys.stderr.write(f"everline temporal-setup: {problem}\n")
        return 1
    sys.stdout.write(f"Temporal at {address} is ready: namespace {namespace}\n")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's threads outlive its client, and the interpreter's end under them was seen to abort
    # the process when all was done.
    os._exit(code)
