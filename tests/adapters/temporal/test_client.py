"""The client is bounded whatever Temporal does, and the lazy one outlives an absent Temporal."""

import base64
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.settings import TemporalSettings
from adapters.temporal.client import connect, connect_lazily
from tests.adapters.temporal.secret_workflow import SecretRequest, SecretWorkflow
from tests.servers import TemporalServer, free_port, start_temporal
from tests.waiting import eventually


def settings(address: str) -> TemporalSettings:
    keys = f"k1:{base64.b64encode(b'k' * 32).decode()}"
    return TemporalSettings.model_validate(
        {
            "temporal_address": address,
            "livekit_api_secret": "s",
            "everline_encryption_keys": keys,
        }
    )


async def start(client: Client, workflow_id: str, patience: timedelta | None = None) -> None:
    await client.start_workflow(
        SecretWorkflow.run,
        SecretRequest(secret="x", fail=False),
        id=workflow_id,
        task_queue="nobody-listens",
        rpc_timeout=patience,
    )


async def is_known(client: Client, workflow_id: str) -> bool:
    """Whether Temporal is found again, with this workflow; how soon depends on the machine."""
    try:
        return (await client.get_workflow_handle(workflow_id).describe()).id == workflow_id
    except RPCError:
        return False


async def test_a_worker_needs_temporal_to_begin_with() -> None:
    with pytest.raises(RuntimeError, match="Connection refused"):
        await connect(settings(f"127.0.0.1:{free_port()}"))


async def test_the_settings_reach_the_connection(temporal_server: TemporalServer) -> None:
    client = await connect(settings(temporal_server.address))
    assert client.namespace == "default"
    assert client.data_converter.payload_codec is not None


async def test_the_lazy_client_starts_without_temporal_and_works_once_it_is_there() -> None:
    async with start_temporal() as server:
        server.process.kill()
        client = await connect_lazily(settings(server.address))
        with pytest.raises(RuntimeError, match="connect"):
            await start(client, "early")

        await server.process.start()
        await start(client, "late")
        assert (await client.get_workflow_handle("late").describe()).id == "late"

        server.process.kill()
        with pytest.raises(RPCError) as lost:
            await start(client, "lost")
        assert lost.value.status is RPCStatusCode.UNAVAILABLE

        await server.process.start()
        await eventually(lambda: is_known(client, "late"))


async def test_a_hanging_temporal_is_given_up_in_time() -> None:
    async with start_temporal() as server:
        client = await connect(settings(server.address))
        await start(client, "before")
        server.process.pause()
        for call in (
            start(client, "during"),
            client.get_workflow_handle("before").signal("whisper", "x"),
            client.get_workflow_handle("before").describe(rpc_timeout=timedelta(seconds=1)),
        ):
            with pytest.raises(RPCError, match=r"[Tt]imeout") as gave_up:
                await call
            assert gave_up.value.status in (
                RPCStatusCode.CANCELLED,
                RPCStatusCode.DEADLINE_EXCEEDED,
            )
        server.process.resume()
        await eventually(lambda: is_known(client, "before"))
