"""A stack whose models answer instantly, so that a turn measures only the agent's own time."""

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from livekit import api
from livekit.protocol import agent_dispatch, room

from adapters.livekit.urls import api_url
from bench.errors import BenchError
from bench.plain_agent import NAME_VARIABLE
from bench.stand import Stand, clients
from stack.demo.caller import Caller
from tests.fakes.providers.openai_compatible import OpenAiCompatible
from tests.fakes.providers.provider import FakeProvider
from tests.local_stack import LocalStack, local_stack
from tests.waiting import eventually

PLAIN_AGENT = "bench-plain"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class InstantStand:
    """The stack, its clients, and calls with either kind of agent."""

    stand: Stand
    stack: LocalStack

    @asynccontextmanager
    async def everline_call(self) -> AsyncGenerator[Caller]:
        """Connect a caller to a session of Everline; end the session afterwards."""
        answer = await self.stand.http.post(
            "/session", params={"wait": "joined"}, json={"userIdentity": "bench"}
        )
        if answer.status_code != 200:
            raise BenchError(f"POST /session: {answer.status_code} {answer.text[:300]}")
        started = answer.json()
        caller = Caller()
        await caller.connect(started["livekitUrl"], started["userToken"])
        try:
            await caller.wait_until_heard(PATIENCE_SECONDS)
            yield caller
        finally:
            await caller.disconnect()
            await self.stand.http.post("/session/end", json={"sessionId": started["sessionId"]})

    @asynccontextmanager
    async def plain_call(self) -> AsyncGenerator[Caller]:
        """Connect a caller to a room with the plain agent."""
        livekit, name = self.stand.livekit, f"bench-{uuid.uuid4().hex}"
        await livekit.room.create_room(room.CreateRoomRequest(name=name))
        await livekit.agent_dispatch.create_dispatch(
            agent_dispatch.CreateAgentDispatchRequest(room=name, agent_name=PLAIN_AGENT)
        )
        caller = Caller()
        await caller.connect(self.stack.urls.livekit or "", self._token(name))
        try:
            await caller.wait_until_heard(PATIENCE_SECONDS)
            yield caller
        finally:
            await caller.disconnect()
            await livekit.room.delete_room(room.DeleteRoomRequest(room=name))

    def agent_server(self) -> psutil.Process:
        """The agent server's process."""
        pid = self.stack.process("agent").pid
        if pid is None:
            raise BenchError("the agent server does not run")
        return psutil.Process(pid)

    async def wait_for_jobs(self, count: int) -> None:
        """Wait until the agent server runs so many jobs, because earlier calls have ended.

        Raises:
            BenchError: it runs another number.
        """
        running = -1

        async def are_there() -> bool:
            nonlocal running
            report = (await self.stand.http.get("/health/agent")).json()
            running = sum(len(server["jobs"]) for server in report["servers"])
            return running == count

        try:
            await eventually(are_there, PATIENCE_SECONDS)
        except AssertionError:
            raise BenchError(f"the agent server runs {running} jobs, not {count}") from None

    def _token(self, name: str) -> str:
        keys = self.stack.credentials
        grants = api.VideoGrants(room_join=True, room=name)
        token = api.AccessToken(keys.livekit_api_key, keys.livekit_api_secret)
        return token.with_identity("bench").with_grants(grants).to_jwt()


@asynccontextmanager
async def instant_stand() -> AsyncGenerator[InstantStand]:
    """Start a separate stack without the `models` process, and a plain agent."""
    with tempfile.TemporaryDirectory(prefix="everline-bench-") as folder:
        async with OpenAiCompatible() as models:
            agent = {
                "OPENAI_BASE_URL": f"{models.url}/v1",
                "OPENAI_API_KEY": FakeProvider.key,
                "EVERLINE_MAX_JOBS": "4",
            }
            async with (
                local_stack(Path(folder), without=["models"], settings={"agent": agent}) as stack,
                clients(stack) as stand,
                _plain_agent(stack, agent, Path(folder) / "plain-agent.log"),
            ):
                yield InstantStand(stand, stack)


@asynccontextmanager
async def _plain_agent(
    stack: LocalStack, environment: dict[str, str], log: Path
) -> AsyncGenerator[None]:
    keys = stack.credentials
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.plain_agent", "start"),
            env=os.environ
            | environment
            | {
                "LIVEKIT_URL": api_url(stack.urls.livekit or ""),
                "LIVEKIT_API_KEY": keys.livekit_api_key,
                "LIVEKIT_API_SECRET": keys.livekit_api_secret,
                NAME_VARIABLE: PLAIN_AGENT,
            },
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        await eventually(lambda: "registered worker" in log.read_text(), PATIENCE_SECONDS)
        yield
    finally:
        process.terminate()
        await process.wait()
