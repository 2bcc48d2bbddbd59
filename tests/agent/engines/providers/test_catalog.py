"""Every model that the catalog offers with a plugin of ours works over that provider's wire.

Those without a plugin go through LiveKit Inference, whose client does not look at their names.
"""

from collections.abc import AsyncGenerator

import pytest
from livekit.agents.utils import http_context

from agent.engines.providers import PLUGINS, ModelRequest, build_model, load_plugins
from domain.agents.catalogs import BUILT_IN, ModelKind
from domain.agents.descriptors import Descriptor
from tests.agent.engines.providers.accounts import Fakes, fake_providers
from tests.agent.engines.providers.stages import heard_by, spoken_by, thought_by
from tests.fakes.providers.provider import FakeProvider

PAIRS = [
    (stage, name)
    for name, plugin in PLUGINS.items()
    for stage in ("stt", "llm", "tts")
    if stage in plugin.stages
]


@pytest.fixture
async def fakes() -> AsyncGenerator[Fakes]:
    async with fake_providers() as running, http_context.open():
        yield running


async def comes_through(fakes: Fakes, stage: str, model: str, name: str) -> bool:
    """Whether a model hears, thinks or speaks."""
    descriptor = Descriptor(name, model)
    request = ModelRequest(descriptor, f"engine.{stage}", stage, language="en")
    built, _ = build_model(request, fakes.settings())
    try:
        if stage == "stt":
            return await heard_by(built) == fakes.script.heard
        if stage == "llm":
            return await thought_by(built) == fakes.script.answer
        return await spoken_by(built, "For which day?") > 0.5
    finally:
        await built.aclose()


@pytest.mark.parametrize(("stage", "name"), PAIRS)
# Google's client subclasses aiohttp's session, which aiohttp discourages.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_every_model_of_a_plugin_works(fakes: Fakes, stage: str, name: str) -> None:
    offered = BUILT_IN.models[ModelKind(stage)].provider(name)
    assert offered is not None, "a plugin that nobody is offered"
    load_plugins([name], fakes.settings())
    mute = [model for model in offered.models if not await comes_through(fakes, stage, model, name)]

    assert mute == []


SPEAKING = [name for stage, name in PAIRS if stage == "tts"]


def deepgrams(voice: str) -> str:
    return f"aura-2-{voice if '-' in voice else f'{voice}-en'}"


@pytest.mark.parametrize("name", SPEAKING)
async def test_the_default_voice_of_the_catalog_is_the_one_that_speaks(
    fakes: Fakes, name: str
) -> None:
    offered = BUILT_IN.models[ModelKind.TTS].provider(name)
    assert offered is not None
    assert offered.default_voice is not None
    load_plugins([name], fakes.settings())
    assert await comes_through(fakes, "tts", offered.default_model, name)

    voice = offered.default_voice
    expected = deepgrams(voice) if name == "deepgram" else voice
    fake: FakeProvider = getattr(fakes, name)
    asked = [f"{each.path} {each.query} {each.body}" for each in fake.seen]
    assert any(expected in each for each in asked), asked


async def test_the_listed_voices_of_deepgram_are_spelt_as_deepgram_does(fakes: Fakes) -> None:
    load_plugins(["deepgram"], fakes.settings())
    for voice in ("andromeda", "agathe-fr", "aura-2-thalia-en"):
        descriptor = Descriptor("deepgram", "aura-2")
        request = ModelRequest(descriptor, "engine.tts", "tts", voice)
        built, _ = build_model(request, fakes.settings())
        try:
            assert await spoken_by(built, "For which day?") > 0.5
        finally:
            await built.aclose()
    models = [each.query["model"] for each in fakes.deepgram.at("/v1/speak")]
    assert models == ["aura-2-andromeda-en", "aura-2-agathe-fr", "aura-2-thalia-en"]
