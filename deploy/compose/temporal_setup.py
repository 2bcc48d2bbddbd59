"""Prepares Temporal for sessions: the `temporal-setup` service of docker-compose.yml.

Creates the namespace if it is missing, registers the search attributes and sets the retention. Safe
to repeat. For Temporal Cloud, use its own tools instead.
"""

import asyncio
import sys
import time

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.settings import SettingsError, TemporalConnection, load
from adapters.temporal import client as temporal_client
from adapters.temporal.errors import temporal_error
from stack.layout.temporal_setup import RETENTION, prepare_namespace
from stack.supervision.health import NotHealthyError
from worker.exit import exit_at_once

# It takes up to 10 s until all parts of the server know a new namespace.
LIMIT_SECONDS = 120.0
PAUSE_SECONDS = 1.0


async def _set_up(settings: TemporalConnection) -> None:
    """Prepare the namespace, waiting for a server that has just started.

    Raises:
        NotHealthyError: It did not work within `LIMIT_SECONDS`; the message says why.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            client = await temporal_client.connect_for_setup(settings)
            await _create_namespace(client)
            return await prepare_namespace(client)
        except (RPCError, RuntimeError) as problem:
            if time.monotonic() > deadline:
                raise NotHealthyError(temporal_error(problem).in_full()) from None
        await asyncio.sleep(PAUSE_SECONDS)


async def _create_namespace(client: Client) -> None:
    """Create the client's namespace unless it exists, which these credentials may have to find.

    Raises:
        RPCError: Temporal does not do it (yet).
    """
    try:
        wanted = DescribeNamespaceRequest(namespace=client.namespace)
        await client.workflow_service.describe_namespace(wanted)
        return
    except RPCError as problem:
        if problem.status is not RPCStatusCode.NOT_FOUND:
            raise
    request = RegisterNamespaceRequest(
        namespace=client.namespace,
        workflow_execution_retention_period=Duration(seconds=int(RETENTION.total_seconds())),
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as problem:
        if problem.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


def main() -> int:
    """Set up the namespace that the environment names; returns the exit code."""
    try:
        settings = load(TemporalConnection)
        asyncio.run(_set_up(settings))
    except (SettingsError, NotHealthyError) as problem:
        sys.stderr.write(f"everline temporal-setup: {problem}\n")
        return 1
    sys.stdout.write(
        f"Temporal at {settings.temporal_address} is ready:"
        f" namespace {settings.temporal_namespace}\n"
    )
    return 0


if __name__ == "__main__":
    exit_at_once(main())
