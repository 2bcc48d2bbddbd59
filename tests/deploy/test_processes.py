"""The services of docker-compose.yml as processes: they start, say that they are well, and talk."""

import asyncio
import signal
from collections.abc import AsyncGenerator

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client as TemporalClient

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.summary import SummaryStatus
from stack.layout.temporal_setup import RETENTION, SEARCH_ATTRIBUTES
from tests.deploy.running import Containers, containers, run_init, start_livekit
from tests.harness.call import BOOK, Call
from tests.harness.client import Client
from tests.harness.ledger import Ledger
from tests.servers import MongoServer, TemporalServer


@pytest.fixture(scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory,
    temporal_server: TemporalServer,
    mongo_server: MongoServer,
) -> AsyncGenerator[Containers]:
    """An installation whose services are not started yet."""
    root = tmp_path_factory.mktemp("containers")
    async with containers(root, temporal_server, mongo_server) as installation:
        yield installation


@pytest.mark.timeout(900)
async def test_a_call_runs_through_the_services_of_the_compose_file(here: Containers) -> None:
    key = await run_init(here)
    await asyncio.gather(prepare_temporal(here), start_livekit(here), here.start("models"))
    await here.start("api")
    for name in ("worker", "agent"):
        assert (await here.health(name)).returncode == 1, f"{name} is not started yet"
    await asyncio.gather(here.start("worker"), here.start("agent"))

    await place_a_call(here, key)

    assert await here.stop("agent") == 0
    assert await here.stop("worker") == 0
    for name in ("api", "models"):
        assert await here.stop(name) == -signal.SIGTERM
        assert "Application shutdown complete" in here.log(name)
    assert_no_secret_is_logged(here, key)


async def prepare_temporal(here: Containers) -> None:
    """The namespace is created and prepared, and that may be repeated."""
    await here.run("temporal-setup")
    assert "ready" in await here.run("temporal-setup")
    await assert_namespace_is_prepared(here)


async def assert_namespace_is_prepared(here: Containers) -> None:
    """Temporal keeps histories long enough, and sessions can be searched."""
    namespace = here.given["TEMPORAL_NAMESPACE"]
    client = await TemporalClient.connect(here.addresses["temporal:7233"], namespace=namespace)
    found = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=namespace)
    )
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION
    attributes = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace)
    )
    assert attributes.custom_attributes.keys() >= SEARCH_ATTRIBUTES.keys()


async def place_a_call(here: Containers, key: str) -> None:
    """A caller says something, is answered, hangs up, and finds transcript and summary."""
    client = Client(f"http://{here.addresses['api:4000']}", key, "local", Ledger())
    try:
        started = await client.start(wait="joined")
        livekit = here.given["EVERLINE_LIVEKIT_PORT"]
        assert started.answer["livekit_url"] == f"ws://localhost:{livekit}", (
            "as the host reaches it"
        )
        call = Call(client, started)
        await call.join()
        try:
            await call.until_heard()
            await call.say(BOOK)
        finally:
            await call.leave()
        closed = await client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
        transcript = await client.transcript(call.session_id)
        assert transcript.said("user")
        assert (await client.summary(call.session_id)).status is SummaryStatus.READY
    finally:
        await client.aclose()


def assert_no_secret_is_logged(here: Containers, key: str) -> None:
    """No process wrote a secret or the key into its log."""
    secrets = {key}
    for name in ("api", "worker", "agent"):
        lines = here.settings_file(name).read_text().splitlines()
        pairs = [line.partition("=") for line in lines]
        secrets |= {value for field, _, value in pairs if "SECRET" in field or "KEYS" in field}
    for name in ("api", "worker", "agent", "models", "livekit"):
        assert not [secret for secret in secrets if secret in here.log(name)], name
