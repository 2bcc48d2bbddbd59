"""A provider that does not take a session is known of before the caller notices."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
from pathlib import Path

import pytest
from livekit.agents import CloseEvent, CloseReason

from agent.engines import EngineFault, EngineUnavailable
from agent.engines.realtime.acceptance import ACCEPT_SECONDS
from tests.agent.engines.realtime.talk import (
    KEY,
    MODELS,
    PLUGINS_OWN_WARNINGS,
    PROVIDERS,
    config,
    provider,
    settings,
    talking,
)
from tests.fakes.realtime import FakeProvider, GeminiLive, Refusal
from tests.waiting import eventually

pytestmark = PLUGINS_OWN_WARNINGS

KEYS = {
    "openai": "OPENAI_API_KEY",
    "google": "GOOGLE_API_KEY",
    "xai": "XAI_API_KEY",
    "ultravox": "ULTRAVOX_API_KEY",
}


async def start(name: str, fake: FakeProvider) -> None:
    async with talking(config(MODELS[name]), settings(fake)):
        pass


async def test_a_wrong_key_is_a_fault_of_its_setting(name: str, fake: FakeProvider) -> None:
    fake.refusal = Refusal.KEY
    with pytest.raises(EngineFault, match=rf"^{KEYS[name]}: {name} refuses it \(") as fault:
        await start(name, fake)

    assert fault.value.field == KEYS[name]
    assert KEY not in str(fault.value)


async def test_an_unknown_model_is_a_fault_of_its_field(name: str, fake: FakeProvider) -> None:
    fake.refusal = Refusal.MODEL
    model = MODELS[name].partition("/")[2]
    with pytest.raises(EngineFault, match=rf"^engine\.llm: {name} refuses .*'{model}'"):
        await start(name, fake)


async def test_a_provider_that_hangs_or_is_down_may_take_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All at once: each takes the whole time that a provider has.
    async def reason(name: str, refusal: Refusal) -> str:
        async with provider(name, tmp_path) as fake:
            if isinstance(fake, GeminiLive):
                monkeypatch.setenv("SSL_CERT_FILE", str(fake.certificate))
            fake.refusal = refusal
            with pytest.raises(EngineUnavailable) as problem:
                await start(name, fake)
            return str(problem.value)

    cases = [(name, refusal) for name in PROVIDERS for refusal in (Refusal.SILENCE, Refusal.DOWN)]
    reasons = await asyncio.gather(*(reason(*case) for case in cases))

    for (name, refusal), why in zip(cases, reasons, strict=True):
        if refusal is Refusal.SILENCE:
            assert why == f"{name} has not answered within {ACCEPT_SECONDS:g} s"
        else:
            assert why == f"{name} cannot take a session now (503)"


async def test_a_provider_that_dies_in_mid_call_closes_the_session(
    name: str, fake: FakeProvider
) -> None:
    closed: list[CloseEvent] = []
    async with talking(config(MODELS[name]), settings(fake)) as session:
        session.on("close", closed.append)
        fake.refusal = Refusal.DOWN
        await fake.hang_up()
        await eventually(lambda: bool(closed), 30)

    assert closed[0].reason is CloseReason.ERROR
