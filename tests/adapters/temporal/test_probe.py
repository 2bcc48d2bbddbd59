"""The API's look at Temporal's database: real, and seldom."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.temporal.probe import FRESH_SECONDS, TemporalProbe
from tests.servers import TemporalServer, start_temporal


@asynccontextmanager
async def unwritable(server: TemporalServer) -> AsyncGenerator[None]:
    """Hold the lock that every write to the database needs."""
    database = server.process.log.with_name("temporal.db")
    blocker = sqlite3.connect(database, isolation_level=None)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        yield
    finally:
        blocker.close()


async def test_it_reads_and_writes_and_remembers_the_result_for_seconds() -> None:
    clock = [0.0]
    async with start_temporal() as server:
        client = await Client.connect(server.address)
        probe = TemporalProbe(client, lambda: clock[0])
        await probe.check()
        async with unwritable(server):
            await probe.check()
            clock[0] += FRESH_SECONDS
            with pytest.raises(RPCError):
                await probe.check()
            with pytest.raises(RPCError):
                await probe.check()
        clock[0] += FRESH_SECONDS
        await probe.check()
        assert [found.id async for found in client.list_workflows()] == []
