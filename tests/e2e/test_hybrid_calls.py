"""Whole calls with a voice of Cartesia and of ElevenLabs, as the debugging document asks for them.

Everything between the two ends is the running stack: the keys are resolved by Pagos, the worker's
`LIVEKIT_URL` is a `wss://` one, and hearing and thinking are the stack's own models. Pagos and the
providers of the voices are fakes that speak their protocols.
"""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.summary import SummaryStatus
from tests.fakes.pagos import ADMIN_TOKEN, FakePagos
from tests.fakes.providers import cartesia, elevenlabs
from tests.fakes.realtime.certificate import own_certificate
from tests.fakes.tls_tunnel import tls_tunnel
from tests.harness.call import BOOK
from tests.harness.replaced_parts import CapturedLog, replaced
from tests.harness.rig import ORG, Rig
from tests.stack.models.lines import SPEECH_FOLDER

GREETING = "Welcome to the Blue Fox, how can I help you?"
USER = "anna"


@dataclass(frozen=True)
class Hybrid:
    """The stack with Pagos and TLS."""

    api_url: str
    """Where the worker's calls to LiveKit's API go."""
    worker_log: CapturedLog


@pytest.fixture(scope="module")
async def hybrid(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hybrid]:
    folder = tmp_path_factory.mktemp("hybrid")
    authority = folder / "livekit.pem"
    account = {"orgId": ORG, "userId": USER, "isAdmin": True}
    async with (
        FakePagos(accounts={rig.stack.api_key: account}) as pagos,
        tls_tunnel(rig.stack.ports.livekit, own_certificate(authority)) as port,
    ):
        address = f"127.0.0.1:{port}"
        accounts = {
            "AUTH_PROVIDER": "pagos",
            "PAGOS_API_URL": pagos.url,
            "PAGOS_ADMIN_TOKEN": ADMIN_TOKEN,
        }
        async with (
            replaced(rig, "api", folder, **accounts),
            replaced(
                rig, "worker", folder, LIVEKIT_URL=f"wss://{address}", SSL_CERT_FILE=str(authority)
            ) as worker_log,
        ):
            yield Hybrid(f"https://{address}", worker_log)


async def whole_call(rig: Rig, hybrid: Hybrid, voice: str) -> None:
    """From the start by `voice` alone to the summary, and what the worker has logged of it."""
    start = {"who": "ai", "greeting": GREETING}
    config, limits = {"conversation_start": start}, {"join_timeout": 60}
    async with rig.call(voice=voice, agent_config=config, limits=limits) as call:
        answer, room = call.started.answer, call.started.room
        assert (answer["voice"], answer["model"]) == (voice, "openai/gpt-4.1-mini")
        await call.answer(0, "Blue Fox")
        # Who speaks before the agent knows that it has finished cuts it off.
        await rig.client.until_turns(call.session_id, 1)
        await call.caller.play(SPEECH_FOLDER / BOOK.file)
        await call.answer(1, *BOOK.answer_contains)
        await rig.client.until_turns(call.session_id, 3)
        assert call.caller.heard.speech_seconds() > 0.5
        [agent] = call.agents
        [dispatch] = await rig.rooms.livekit.dispatches(room)
        assert json.loads(dispatch.metadata)["user_id"] == USER
        assert await rig.client.end(call.session_id)
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)
    assert (closed.dispatches, closed.joins, closed.attempt) == (1, 1, 1)
    transcript = await rig.client.transcript(call.session_id)
    assert [turn.role.value for turn in transcript.turns[:3]] == ["assistant", "user", "assistant"]
    assert transcript.said("assistant")[0] == GREETING
    assert "four" in transcript.said("user")[0]
    summary = await rig.client.summary(call.session_id)
    assert (summary.status, bool(summary.text)) == (SummaryStatus.READY, True)

    # The server's calls go to `https://`, and the join check names who is in the room.
    [dispatched] = hybrid.worker_log.events("agent dispatched", room=room)
    assert (dispatched["url"], dispatched["agent_name"]) == (hybrid.api_url, "local-test")
    [joined] = hybrid.worker_log.events("join check", room=room, agent=agent)
    assert (joined["url"], joined["attempt"]) == (hybrid.api_url, 1)
    assert agent in joined["participants"]


async def test_a_call_with_a_voice_of_cartesia(rig: Rig, hybrid: Hybrid) -> None:
    await whole_call(rig, hybrid, f"cartesia/sonic-3:{cartesia.VOICE}")

    assert GREETING in rig.cartesia.said()
    assert "table for four" in rig.cartesia.said()
    spoken = next(each for each in rig.cartesia.at("/tts/websocket") if each.body)
    assert spoken.body["model_id"] == "sonic-3"
    assert spoken.body["voice"] == {"mode": "id", "id": cartesia.VOICE}


async def test_a_call_with_a_voice_of_elevenlabs(rig: Rig, hybrid: Hybrid) -> None:
    await whole_call(rig, hybrid, f"elevenlabs/eleven_flash_v2_5:{elevenlabs.VOICE}")

    assert GREETING in rig.elevenlabs.said()
    assert "table for four" in rig.elevenlabs.said()
    spoken = rig.elevenlabs.at("/multi-stream-input")[0]
    assert f"/{elevenlabs.VOICE}/" in spoken.path
    assert spoken.query["model_id"] == "eleven_flash_v2_5"
