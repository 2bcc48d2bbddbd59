"""All processes of an installation find the same id, whoever is first; another's is an error."""

import asyncio
import re
import uuid
from contextlib import suppress
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from adapters.temporal.installation import (
    INSTALLATION,
    InstallationDiffers,
    TemporalInstallation,
)
from domain.errors import Unavailable
from tests.servers import TemporalServer, free_port
from tests.waiting import eventually


async def id_of(client: Client, given: str | None = None) -> str:
    """The id that a process finds; on a busy machine Temporal may be late with it."""
    found: list[str] = []

    async def answered() -> bool:
        with suppress(Unavailable):
            found.append(await TemporalInstallation(client, given).id())
        return bool(found)

    await eventually(answered, what="Temporal tells the id")
    return found[0]


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    """A client of a namespace that nobody has used."""
    client = await Client.connect(temporal_server.address, namespace=f"team.{uuid.uuid4().hex[:8]}")
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=client.namespace, workflow_execution_retention_period=retention
        )
    )
    # Also until every part of Temporal knows the namespace.
    await id_of(client)
    await client.get_schedule_handle(INSTALLATION).delete()
    return client


async def test_processes_that_start_at_once_agree(client: Client) -> None:
    ids = await asyncio.gather(*(id_of(client) for _ in range(8)))

    assert len(set(ids)) == 1
    assert re.fullmatch(f"{client.namespace.replace('.', '-')}-[0-9a-f]{{8}}", ids[0])
    assert await id_of(client) == ids[0], "also later"


async def test_what_the_first_process_was_given_is_everybodys(client: Client) -> None:
    assert await id_of(client, "staging") == "staging"
    assert await id_of(client) == "staging"
    assert await id_of(client, "staging") == "staging"


async def test_another_id_than_the_durable_one_is_an_error_that_names_both(client: Client) -> None:
    await id_of(client, "staging")

    with pytest.raises(InstallationDiffers, match=r"'production'.*'staging'") as refused:
        await id_of(client, "production")
    assert "staging" in str(refused.value.cure)


async def test_a_temporal_that_is_away_is_no_other_installation() -> None:
    nobody = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)

    with pytest.raises(Unavailable):
        await TemporalInstallation(nobody, "staging").id()
