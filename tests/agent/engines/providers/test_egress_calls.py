"""Recorded calls beside LiveKit's egress service: whatever it answers, nobody waits for it."""

import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from livekit.protocol.egress import EgressStatus

from domain.agents.config import AgentConfig, ConversationStart, Engine
from domain.recordings.recording import Recording
from tests.agent.engines.providers.accounts import Fakes
from tests.agent.live import GREETING, AgentWorker, LiveSession, live_session, start_agent
from tests.fakes.callback_api import CallbackApi
from tests.fakes.egress import Egress
from tests.fakes.providers import cartesia
from tests.harness.sound import channels, speech
from tests.servers import LiveKitServer
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

CONFIG = AgentConfig(
    engine=Engine(
        stt="deepgram/nova-3",
        llm="openai/gpt-4.1-mini",
        tts=f"cartesia/sonic-3:{cartesia.VOICE}",
    ),
    conversation_start=ConversationStart(who="ai", greeting=GREETING),
    recording=Recording(enabled=True),
)


@pytest.fixture(scope="module")
async def egress(livekit_server: LiveKitServer) -> AsyncGenerator[Egress]:
    """In front of the real LiveKit server, which has no redis and so no egress."""
    async with Egress(livekit=livekit_server.api_url) as service:
        yield service


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of recordings."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
async def recording_worker(
    livekit_server: LiveKitServer,
    egress: Egress,
    all_fakes: Fakes,
    kept: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AgentWorker]:
    async with (
        CallbackApi() as home,
        start_agent(
            replace(livekit_server, url=egress.url.replace("http", "ws")),
            all_fakes.openai.url,
            home.url,
            tmp_path_factory.mktemp("agent"),
            "recording",
            all_fakes.environment()
            | {"EVERLINE_EGRESS": "true", "EVERLINE_RECORDINGS_URL": kept.as_uri()},
        ) as agent,
    ):
        yield agent


@pytest.fixture
async def session(
    livekit_server: LiveKitServer, recording_worker: AgentWorker, fakes: Fakes
) -> AsyncGenerator[LiveSession]:
    async with live_session(livekit_server, recording_worker, f"s{uuid.uuid4().hex[:8]}") as live:
        live.config = CONFIG
        yield live


async def greeted_and_ended(session: LiveSession) -> None:
    """A call of which nothing but the greeting is heard."""
    caller = await session.call()
    try:
        await session.dispatch()
        await caller.wait_until_agent_spoke(0, within=60)
        await session.callbacks.wait_for(lambda: len(session.callbacks.turns) == 1)
        await session.ask_to_finish("end_requested")
        await session.callbacks.wait_for(lambda: bool(session.callbacks.reports))
    finally:
        await caller.disconnect()


async def test_the_greeting_waits_for_no_service_and_is_recorded(
    session: LiveSession, fakes: Fakes, egress: Egress, kept: Path
) -> None:
    egress.silent = True
    told = session.callbacks
    caller = await session.call()
    try:
        await session.dispatch()
        await fakes.cartesia.wait_for(lambda: fakes.cartesia.said() == GREETING)
        assert session.worker.log("no_egress") == [], "LiveKit is still looking for a service"
        await eventually(lambda: len(session.worker.log("no_egress")) == 1, 60)
        assert egress.asked == 1
        await told.wait_for(lambda: len(told.turns) == 1)
        await session.ask_to_finish("end_requested")
        await told.wait_for(lambda: bool(told.of("recording")))
    finally:
        egress.silent = False
        await caller.disconnect()

    [stored] = told.of("recording")
    assert (stored.body["state"], stored.body["egress_id"]) == ("stored", None)
    assert told.reports[0]["recording"]["path"] == stored.body["path"]
    _, agent = channels((kept / stored.body["path"]).read_bytes())
    assert speech(agent), "from the first word"


async def test_a_service_that_takes_it_makes_the_only_recording(
    session: LiveSession, egress: Egress, kept: Path
) -> None:
    await greeted_and_ended(session)
    [info] = [one for one in egress.infos if one.room_name == session.room]
    told = session.callbacks
    recording = told.reports[0]["recording"]
    assert (recording["state"], recording["egress_id"]) == ("pending", info.egress_id)
    assert recording["path"].endswith("-egress.ogg")

    info.file_results[0].size = 4_711
    info.status = EgressStatus.EGRESS_COMPLETE
    await told.wait_for(lambda: any(one.body["state"] == "stored" for one in told.of("recording")))

    assert {one.body["path"] for one in told.of("recording")} == {recording["path"]}
    assert not list((kept / "local" / session.session_id).glob("*")), "nothing of the agent's own"
    await eventually(lambda: not list(session.worker.spool.glob("recordings/*")), 60)
