"""The servers of a real stack: prepared, restarted, continued after a `kill -9` of everything."""

import asyncio
from pathlib import Path

import pytest
from livekit import api
from livekit.protocol.room import ListRoomsRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from stack.errors import StackError
from stack.supervision.processes import find_leftovers
from tests.local_stack import LocalStack, local_stack

SERVERS_ALONE = ("models", "api", "worker", "agent")

pytestmark = pytest.mark.timeout(600)


async def test_open_workflows_survive_a_kill_of_the_whole_stack(tmp_path: Path) -> None:
    async with local_stack(tmp_path, without=SERVERS_ALONE) as stack:
        ports = stack.ports
        await (await connect(stack)).start_workflow(
            "Nobody",
            id="session/local/kept",
            task_queue="nobody",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(SearchAttributeKey.for_keyword("SessionState"), "live")]
            ),
        )
        await stack.kill_everything()
        assert stack.state.state == "stopped"
        again = await LocalStack.start(tmp_path, without=SERVERS_ALONE)
        assert again.ports == ports
        client = await connect(again)
        found = await until_listed(client, "SessionState = 'live'")
        assert found == ["session/local/kept"]
        namespace = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace="default")
        )
        assert namespace.config.workflow_execution_retention_ttl.ToTimedelta().days == 30
    assert find_leftovers(stack.home) == []


async def test_two_stacks_run_side_by_side_and_their_servers_come_back(tmp_path: Path) -> None:
    without = (*SERVERS_ALONE, "temporal")
    async with (
        local_stack(tmp_path / "one", without=without) as one,
        local_stack(tmp_path / "two", without=without) as two,
    ):
        assert one.urls.livekit != two.urls.livekit
        untouched = two.process("livekit").pid
        for name in ("livekit", "mongodb"):
            killed = one.kill(name)
            assert await one.wait_restarted(name, killed) != killed
        assert two.process("livekit").pid == untouched
        assert await room_names(one) == []
        with pytest.raises(api.TwirpError, match="status=401"):
            await room_names(one, secret=two.credentials.livekit_api_secret)


async def test_a_start_on_ports_in_use_names_the_stack_that_holds_them(tmp_path: Path) -> None:
    without = (*SERVERS_ALONE, "temporal", "mongodb")
    async with local_stack(tmp_path / "one", without=without) as one:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "ports.json").write_text(one.home.ports.read_text())
        with pytest.raises(StackError) as problem:
            await LocalStack.start(tmp_path / "two", without=without)
    holder = f"Port {one.ports.livekit} (LiveKit) is taken by pid "
    assert holder in str(problem.value)
    assert "livekit-server" in str(problem.value)


async def connect(stack: LocalStack) -> Client:
    address = stack.urls.temporal
    assert address is not None
    return await Client.connect(address)


async def until_listed(client: Client, query: str) -> list[str]:
    """Return the ids that a query finds, once Temporal's index has any."""
    for _ in range(1200):
        found = [execution.id async for execution in client.list_workflows(query)]
        if found:
            return found
        await asyncio.sleep(0.05)
    return []


async def room_names(stack: LocalStack, secret: str | None = None) -> list[str]:
    key = stack.credentials
    url = f"http://127.0.0.1:{stack.ports.livekit}"
    async with api.LiveKitAPI(
        url, key.livekit_api_key, secret or key.livekit_api_secret
    ) as livekit:
        listed = await livekit.room.list_rooms(ListRoomsRequest())
    return [room.name for room in listed.rooms]
