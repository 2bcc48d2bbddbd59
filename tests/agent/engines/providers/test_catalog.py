"""Every model that the catalog offers with a plugin of ours works over that provider's wire.

Those without a plugin go through LiveKit Inference, whose client does not look at their names.
"""

from collections.abc import AsyncGenerator

import pytest
from livekit.agents.utils import http_context

from agent.engines.descriptor import Descriptor
from agent.engines.providers import PLUGINS, load_plugins, provider_of
from domain.agents.catalogs import BUILT_IN, ModelKind
from tests.agent.engines.providers.accounts import Fakes, fake_providers
from tests.agent.engines.providers.stages import heard_by, spoken_by, thought_by

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
    settings = fakes.settings()
    descriptor = Descriptor(f"engine.{stage}", name, model)
    provider = provider_of(descriptor, stage, settings)
    if stage == "stt":
        ears = provider.speech_to_text(descriptor, "en")
        try:
            return await heard_by(ears) == fakes.script.heard
        finally:
            await ears.aclose()
    if stage == "llm":
        mind = provider.chat_model(descriptor)
        try:
            return await thought_by(mind) == fakes.script.answer
        finally:
            await mind.aclose()
    voice = provider.text_to_speech(descriptor, None, "en")
    try:
        return await spoken_by(voice, "For which day?") > 0.5
    finally:
        await voice.aclose()


@pytest.mark.parametrize(("stage", "name"), PAIRS)
# Google's client subclasses aiohttp's session, which aiohttp discourages.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_every_model_of_a_plugin_works(fakes: Fakes, stage: str, name: str) -> None:
    offered = BUILT_IN.models[ModelKind(stage)].provider(name)
    assert offered is not None, "a plugin that nobody is offered"
    load_plugins([name], fakes.settings())
    mute = [model for model in offered.models if not await comes_through(fakes, stage, model, name)]

    assert mute == []
