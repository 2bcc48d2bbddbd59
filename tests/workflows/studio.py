"""The fixture `studio`: one worker with fakes for LiveKit and MongoDB, on the Temporal server."""

import uuid
from collections.abc import AsyncGenerator, Generator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from activities.capacity import CapacityActivities
from activities.listening import ListenActivities
from adapters.settings import WorkerSettings
from adapters.temporal import client as temporal_client
from adapters.temporal.sessions import TemporalSessions
from services.transcripts.transcripts import Transcripts
from tests.fakes.archives import MemoryArchive, ScriptedSummariser
from tests.fakes.installation import INSTALLATION
from tests.fakes.rooms import FakeRooms
from tests.servers import TemporalServer
from tests.workflows.calls import AGENT_NAME, Studio
from worker.main import activities_of
from worker.workers import serving_all

CALLBACK_SECRET = "a-callback-secret-of-32-characters"


def worker_settings(address: str, task_queue: str) -> WorkerSettings:
    """Settings of a worker that has everything, none of it from this machine's environment."""
    return WorkerSettings(
        livekit_url="ws://livekit.test",
        livekit_api_key="key",
        livekit_api_secret=SecretStr("secret"),
        agent_name=AGENT_NAME,
        temporal_address=address,
        temporal_task_queue=task_queue,
        everline_encryption_keys={"k1": bytes(range(32))},
        everline_callback_secret=SecretStr(CALLBACK_SECRET),
    )


@pytest.fixture(scope="session", autouse=True)
def no_grace_period() -> Generator[None]:
    """Workers in the process of the tests end at once: what they interrupt is over as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.workers.GRACEFUL_SHUTDOWN", timedelta(0))
        yield


@pytest.fixture(scope="session")
async def studio(temporal_server: TemporalServer) -> AsyncGenerator[Studio]:
    """Where the calls of this test run take place."""
    settings = worker_settings(temporal_server.address, f"studio-{uuid.uuid4().hex}")
    client = await temporal_client.connect(settings)
    studio = Studio(client, settings, FakeRooms(), MemoryArchive(), ScriptedSummariser())
    capacity = CapacityActivities(studio.agent_servers, studio.places)
    listen = ListenActivities(studio.listener, Transcripts(studio.archive.transcripts))
    activities = [
        *activities_of(
            settings,
            studio.rooms,
            studio.archive,
            studio.summariser,
            inputs=TemporalSessions(client, settings.temporal_task_queue),
            installation=INSTALLATION,
        ),
        capacity.count_free_places,
        capacity.release_place,
        listen.listen_to_agent,
    ]
    async with serving_all(client, settings, activities):
        yield studio
