"""The stack that the measurements use, and clients for each of its servers."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from livekit import api
from temporalio.client import Client

from adapters.livekit.urls import api_url
from adapters.settings import TemporalSettings
from adapters.temporal import client as temporal_client
from bench.errors import BenchError
from domain.ids import SessionKey, session_workflow_id
from stack.demo.caller import Caller
from tests.local_stack import LocalStack, local_stack
from tests.waiting import eventually

ORG = "local"
"""The org of a local stack's own key."""
AGENT_NAME = "local-test"
REQUEST_SECONDS = 60.0
SETTLE_SECONDS = 4.0
CALL_SECONDS = 2.0
"""How long a short call lasts once agent and caller are there."""


async def settle() -> None:
    """Wait before a measurement until the agent server has replaced the process it used last.

    Otherwise a start would include that time. Baselines wait as long.
    """
    await asyncio.sleep(SETTLE_SECONDS)


@dataclass(frozen=True)
class Stand:
    """A running stack under measurement."""

    stack: LocalStack
    http: httpx.AsyncClient
    temporal: Client
    livekit: api.LiveKitAPI

    async def start(self, wait: str) -> SessionKey:
        """Start a session and wait for a stage.

        Raises:
            BenchError: the API did not start it, or the stage was not reached in time.
        """
        answer = await self.http.post(
            "/session", params={"wait": wait}, json={"userIdentity": "bench"}
        )
        expected = (200,) if wait != "accepted" else (200, 202)
        if answer.status_code not in expected:
            raise BenchError(f"POST /session?wait={wait}: {answer.status_code} {answer.text[:300]}")
        return SessionKey(ORG, answer.json()["sessionId"])

    async def end(self, key: SessionKey) -> None:
        """End a session and wait for the end of its workflow, so that it disturbs no measurement.

        Raises:
            BenchError: it could not be ended.
        """
        answer = await self.http.post("/session/end", json={"sessionId": key.session_id})
        if answer.status_code != 200:
            raise BenchError(f"POST /session/end: {answer.status_code} {answer.text[:300]}")
        await self.temporal.get_workflow_handle(session_workflow_id(key)).result()

    async def call(self) -> SessionKey:
        """Place a short call as a client does: the caller connects while the agent is joining.

        Raises:
            BenchError: it could not be started or ended, or one of the two never came.
        """
        answer = await self.http.post("/session", json={"userIdentity": "bench"})
        if answer.status_code != 200:
            raise BenchError(f"POST /session: {answer.status_code} {answer.text[:300]}")
        started = answer.json()
        key = SessionKey(ORG, started["sessionId"])
        caller = Caller()
        await caller.connect(started["livekitUrl"], started["userToken"])
        try:
            await self._wait_for_both(key)
            await asyncio.sleep(CALL_SECONDS)
            await self.end(key)
        finally:
            await caller.disconnect()
        return key

    async def _wait_for_both(self, key: SessionKey) -> None:
        async def are_there() -> bool:
            seen = (await self.http.get(f"/v1/sessions/{key.session_id}")).json()
            return bool(seen.get("agent_joined") and seen.get("caller_present"))

        try:
            await eventually(are_there, REQUEST_SECONDS)
        except AssertionError:
            raise BenchError("the agent or the caller did not join") from None


@asynccontextmanager
async def stand() -> AsyncGenerator[Stand]:
    """Use the running stack, or start one in a temporary folder."""
    running = await LocalStack.find()
    if running:
        async with clients(running) as found:
            yield found
        return
    with tempfile.TemporaryDirectory(prefix="everline-bench-") as folder:
        async with local_stack(Path(folder)) as stack, clients(stack) as found:
            yield found


@asynccontextmanager
async def clients(stack: LocalStack) -> AsyncGenerator[Stand]:
    """Clients for each server of a running stack."""
    urls, credentials = stack.urls, stack.credentials
    if not (urls.api and urls.temporal and urls.livekit):
        raise BenchError("the running stack lacks its API, Temporal or LiveKit")
    settings = TemporalSettings.model_validate(
        {
            "temporal_address": urls.temporal.removeprefix("http://"),
            "livekit_api_secret": credentials.livekit_api_secret,
            "everline_encryption_keys": credentials.encryption_keys,
        }
    )
    http = httpx.AsyncClient(
        base_url=urls.api,
        headers={"x-api-key": credentials.api_key},
        timeout=REQUEST_SECONDS,
        trust_env=False,
    )
    livekit = api.LiveKitAPI(
        api_url(urls.livekit), credentials.livekit_api_key, credentials.livekit_api_secret
    )
    try:
        yield Stand(stack, http, await temporal_client.connect(settings), livekit)
    finally:
        await http.aclose()
        # LiveKitAPI.aclose is not annotated.
        await livekit.aclose()  # pyright: ignore[reportUnknownMemberType]
