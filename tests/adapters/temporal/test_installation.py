"""All processes of an installation find the same id, whoever is first; another's is an error."""

import asyncio
import re
import uuid
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from adapters.temporal.installation import InstallationDiffers, TemporalInstallation
from domain.errors import Unavailable
from tests.servers import TemporalServer, free_port
from tests.waiting import eventually


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

    async def is_there() -> bool:
        try:
            await TemporalInstallation(client, None).id()
        except Unavailable:
            return False
        await client.get_schedule_handle("installation").delete()
        return True

    await eventually(is_there, what="every part of Temporal knows the namespace")
    return client


async def test_processes_that_start_at_once_agree(client: Client) -> None:
    ids = await asyncio.gather(*(TemporalInstallation(client, None).id() for _ in range(8)))

    assert len(set(ids)) == 1
    assert re.fullmatch(f"{client.namespace.replace('.', '-')}-[0-9a-f]{{8}}", ids[0])
    assert await TemporalInstallation(client, None).id() == ids[0], "also later"


async def test_what_the_first_process_was_given_is_everybodys(client: Client) -> None:
    assert await TemporalInstallation(client, "staging").id() == "staging"
    assert await TemporalInstallation(client, None).id() == "staging"
    assert await TemporalInstallation(client, "staging").id() == "staging"


async def test_another_id_than_the_durable_one_is_an_error_that_names_both(client: Client) -> None:
    await TemporalInstallation(client, "staging").id()

    with pytest.raises(InstallationDiffers, match=r"'production'.*'staging'") as refused:
        await TemporalInstallation(client, "production").id()
    assert "staging" in str(refused.value.cure)


async def test_a_temporal_that_is_away_is_no_other_installation() -> None:
    nobody = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)

    with pytest.raises(Unavailable):
        await TemporalInstallation(nobody, "staging").id()
