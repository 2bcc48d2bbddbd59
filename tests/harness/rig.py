"""A running stack, with everything that a test looks at it with."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client as TemporalClient

from adapters.livekit.rooms import LiveKitRooms
from adapters.mongo.archive import MongoArchive
from adapters.mongo.client import Client as MongoClient
from adapters.mongo.client import connect
from adapters.temporal.encryption import EncryptionCodec, data_converter
from adapters.temporal.installation import TemporalInstallation
from domain.access.api_keys import NewKeyRequest
from domain.ids import SessionKey
from stack.layout.home import find_home
from stack.layout.ports import read_ports
from tests.fakes.providers.cartesia import Cartesia
from tests.fakes.providers.elevenlabs import ElevenLabs
from tests.fakes.realtime import OpenAiRealtime
from tests.harness.agent_callbacks import AgentCallbacks, token
from tests.harness.agent_jobs import job_process
from tests.harness.call import Call
from tests.harness.callback_proxy import CallbackProxy
from tests.harness.client import Client, StartedSession
from tests.harness.histories import Histories
from tests.harness.ledger import Ledger
from tests.harness.rooms import Rooms, watch_for_crowds
from tests.harness.webhooks import Webhooks
from tests.local_stack import THIS_PYTHON, LocalStack
from tests.servers import START_SECONDS, free_port
from tests.waiting import eventually

ORG = "local"
"""The bootstrap key's org."""
DATABASE = "everline"


class Rig:
    """One stack under test."""

    realtime: OpenAiRealtime
    """Where its agents find OpenAI's realtime models."""
    cartesia: Cartesia
    elevenlabs: ElevenLabs
    """Where they find these two providers of voices."""

    def __init__(
        self,
        stack: LocalStack,
        ledger: Ledger,
        proxy: CallbackProxy,
        histories: Histories,
        rooms: Rooms,
        mongo: MongoClient | None,
        settings: Mapping[str, Mapping[str, str]],
        installation: str,
    ) -> None:
        self.stack = stack
        self.settings = settings
        """What the stack was started with, to start it again."""
        self.installation = installation
        """Its id, as Temporal has it."""
        self.ledger = ledger
        self.proxy = proxy
        self.histories = histories
        self.rooms = rooms
        self.mongo = mongo
        self.archive = MongoArchive(mongo, DATABASE) if mongo is not None else None
        self.clients: list[Client] = []
        self.client = self.client_with(stack.api_key, ORG)
        self.codec = EncryptionCodec(keyring(stack))

    def client_with(self, api_key: str, org: str) -> Client:
        """A client with another key."""
        assert self.stack.urls.api is not None
        client = Client(self.stack.urls.api, api_key, org, self.ledger)
        self.clients.append(client)
        self.ledger.secrets.add(api_key)
        return client

    async def other_org(self, org: str) -> Client:
        """A client of another org, with a key of its own from MongoDB."""
        assert self.archive is not None
        created = await self.archive.api_keys.create(org, NewKeyRequest(name="test"))
        return self.client_with(created.key, org)

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def call(self, **start: Any) -> AsyncGenerator[Call]:
        """A session whose agent is in the room and whose caller has joined."""
        async with self.joined(await self.client.start(wait="joined", **start)) as call:
            await call.until_heard()
            await call.until_present()
            yield call

    @asynccontextmanager
    async def joined(self, started: StartedSession) -> AsyncGenerator[Call]:
        """A session that its caller has joined, until the caller hangs up."""
        self.know(started.key)
        call = Call(self.client, started)
        await call.join()
        try:
            yield call
        finally:
            await call.leave()

    def know(self, key: SessionKey) -> None:
        """Tell the proxy whose callbacks it will see."""
        self.proxy.keys[key.session_id] = key

    def agent(self, key: SessionKey, attempt: int = 1, **how: Any) -> AgentCallbacks:
        """Callbacks with a genuine token of an attempt."""
        return self.with_token(token(self.stack.credentials.callback_secret, key, attempt, **how))

    def with_token(self, given: str) -> AgentCallbacks:
        """Callbacks with any token."""
        return AgentCallbacks(self.client.http, given)

    def webhooks(self, key: SessionKey) -> Webhooks:
        """LiveKit's webhooks about a session's room."""
        keys = self.stack.credentials
        return Webhooks(
            self.client.http,
            keys.livekit_api_key,
            keys.livekit_api_secret,
            key,
            self.installation,
        )

    async def start_agent(self) -> None:
        """Start the stack's agent server again, and wait until the API has heard this very one.

        The stack itself may take the last heartbeat of another one for its first.
        """
        await self.until_heard(await self.stack.start_part("agent"))

    async def until_heard(self, pid: int) -> None:
        """Wait until the API has heard the agent server with this process id."""

        async def heard() -> bool:
            health = (await self.client.http.get("/health/agent")).json()
            return any(f":{pid}:" in server["server_id"] for server in health["servers"])

        await eventually(heard, START_SECONDS, "the API has heard the agent server")

    async def find_job(self, key: SessionKey, attempt: int = 1) -> psutil.Process | None:
        """The process of a session's agent, if there is one right now."""
        pid = self.stack.process("agent").pid
        if pid is None:
            return None
        return await asyncio.to_thread(job_process, pid, key, attempt)

    async def job(self, key: SessionKey, attempt: int = 1) -> psutil.Process:
        """The process of a session's agent; it has to be there."""
        found: psutil.Process | None = None

        async def seen() -> bool:
            nonlocal found
            found = await self.find_job(key, attempt)
            return found is not None

        await eventually(seen, 60, f"a process of attempt {attempt} of {key.session_id}")
        assert found is not None
        return found

    async def reports(self, key: SessionKey) -> list[dict[str, Any]]:
        """The reports that MongoDB keeps of a session."""
        assert self.mongo is not None
        query = {"org": key.org, "session_id": key.session_id}
        return await self.mongo[DATABASE]["reports"].find(query).to_list(None)

    async def finish_all(self) -> None:
        """End what a failed test has left open, and wait until everything is closed."""
        for key in self.ledger.sessions:
            client = next(one for one in self.clients if one.org == key.org)
            if not self.ledger.endings.get(key):
                status = await client.status(key.session_id)
                if status.closed_at is None:
                    await client.end(key.session_id)
        for key in self.ledger.sessions:
            client = next(one for one in self.clients if one.org == key.org)
            await client.closed(key.session_id)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self.clients:
            await client.aclose()
        await self.rooms.livekit.aclose()
        if self.mongo is not None:
            self.mongo.close()


def keyring(stack: LocalStack) -> dict[str, bytes]:
    """The stack's encryption keys."""
    name, _, key = stack.credentials.encryption_keys.partition(":")
    return {name: base64.b64decode(key)}


@asynccontextmanager
async def running_rig(
    home: Path,
    *,
    without: Iterable[str] = (),
    settings: dict[str, dict[str, str]] | None = None,
    python: Path = THIS_PYTHON,
) -> AsyncGenerator[Rig]:
    """Boot a stack whose agents talk through the proxy, and everything to look at it with.

    `python` is that of the release whose stack it is.
    """
    ledger = Ledger()
    async with (
        CallbackProxy(ledger, free_port()) as proxy,
        OpenAiRealtime() as realtime,
        Cartesia() as cartesia,
        ElevenLabs() as elevenlabs,
    ):
        # Receivers of tests are on this machine.
        loopback = {"EVERLINE_WEBHOOKS_ALLOW_PRIVATE": "true"}
        given = {
            "api": loopback,
            "worker": {"EVERLINE_CALLBACK_URL": proxy.url, **loopback},
            "agent": {
                "EVERLINE_CALLBACK_URL": proxy.url,
                "OPENAI_REALTIME_BASE_URL": realtime.url,
                "CARTESIA_API_KEY": cartesia.key,
                "CARTESIA_BASE_URL": cartesia.url,
                "ELEVEN_API_KEY": elevenlabs.key,
                "ELEVEN_BASE_URL": f"{elevenlabs.url}/v1",
            },
        } | (settings or {})
        # The agent server counts as started when the API has heard it, through the proxy.
        aiming = asyncio.create_task(_aim(proxy, home))
        stack = await LocalStack.start(home, without=without, settings=given, python=python)
        try:
            await aiming
            rig = await _rig(stack, ledger, proxy, given)
            rig.realtime, rig.cartesia, rig.elevenlabs = realtime, cartesia, elevenlabs
            watch = asyncio.create_task(watch_for_crowds(rig.rooms, ledger))
            try:
                yield rig
            finally:
                watch.cancel()
                await rig.aclose()
        finally:
            await stack.stop()


async def _aim(proxy: CallbackProxy, home: Path) -> None:
    """Point the proxy at the API as soon as the stack has chosen its ports."""

    def aimed() -> bool:
        ports = read_ports(find_home(given=home))
        proxy.target = f"http://127.0.0.1:{ports.api}" if ports else ""
        return ports is not None

    await eventually(aimed, START_SECONDS, "the stack has chosen its ports")


async def _rig(
    stack: LocalStack,
    ledger: Ledger,
    proxy: CallbackProxy,
    settings: Mapping[str, Mapping[str, str]],
) -> Rig:
    keys, urls = stack.credentials, stack.urls
    assert urls.temporal is not None
    assert urls.livekit is not None
    ledger.secrets |= {
        keys.livekit_api_secret,
        keys.encryption_key,
        keys.callback_secret,
        keys.codec_secret,
    }
    temporal = await TemporalClient.connect(
        urls.temporal, data_converter=data_converter(keyring(stack))
    )
    livekit = LiveKitRooms(urls.livekit, keys.livekit_api_key, keys.livekit_api_secret)
    mongo = connect(urls.mongodb) if urls.mongodb else None
    installation = await TemporalInstallation(temporal, None).id()
    histories, rooms = Histories(temporal), Rooms(livekit)
    return Rig(stack, ledger, proxy, histories, rooms, mongo, settings, installation)
