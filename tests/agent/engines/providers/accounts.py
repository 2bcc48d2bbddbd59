"""All fake providers of a pipeline at once, and the settings of an agent worker that uses them."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from adapters.settings import AgentSettings
from tests.fakes.providers import inference_gateway
from tests.fakes.providers.anam import Anam
from tests.fakes.providers.anthropic import Anthropic
from tests.fakes.providers.assemblyai import AssemblyAi
from tests.fakes.providers.cartesia import Cartesia
from tests.fakes.providers.deepgram import Deepgram
from tests.fakes.providers.elevenlabs import ElevenLabs
from tests.fakes.providers.gemini import Gemini
from tests.fakes.providers.inference_gateway import InferenceGateway
from tests.fakes.providers.openai_compatible import OpenAiCompatible
from tests.fakes.providers.provider import FakeProvider, Script
from tests.fakes.providers.xai import Xai

KEY = FakeProvider.key


class Groq(OpenAiCompatible):
    """Groq speaks OpenAI's protocol, with models of its own."""

    models = ("llama-3.3-70b-versatile", "whisper-large-v3", "canopylabs/orpheus-v1-english")


@dataclass
class Fakes:
    """One server for each provider; they share one script."""

    script: Script
    openai: OpenAiCompatible
    groq: Groq
    cartesia: Cartesia
    elevenlabs: ElevenLabs
    deepgram: Deepgram
    assemblyai: AssemblyAi
    anthropic: Anthropic
    gemini: Gemini
    xai: Xai
    gateway: InferenceGateway
    anam: Anam

    def everyone(self) -> list[FakeProvider]:
        """All of them."""
        return [each for each in vars(self).values() if isinstance(each, FakeProvider)]

    def reset(self) -> None:
        """Forget what was seen and what was to go wrong."""
        vars(self.script).update(vars(Script()))
        for each in self.everyone():
            each.seen.clear()
            each.spoken.clear()
            each.loudness.clear()
            each.mishap = None

    def environment(self) -> dict[str, str]:
        """The variables of an agent worker with an account at each of them."""
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{self.openai.url}/v1",
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": f"{self.groq.url}/v1",
            "CARTESIA_API_KEY": KEY,
            "CARTESIA_BASE_URL": self.cartesia.url,
            "ELEVEN_API_KEY": KEY,
            "ELEVEN_BASE_URL": f"{self.elevenlabs.url}/v1",
            "DEEPGRAM_API_KEY": KEY,
            "DEEPGRAM_BASE_URL": self.deepgram.url,
            "ASSEMBLYAI_API_KEY": KEY,
            "ASSEMBLYAI_BASE_URL": self.assemblyai.url,
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.anthropic.url,
            "GOOGLE_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": self.gemini.url,
            "XAI_API_KEY": KEY,
            "XAI_BASE_URL": f"{self.xai.url}/v1",
            "LIVEKIT_INFERENCE_URL": f"{self.gateway.url}/v1",
            "LIVEKIT_INFERENCE_API_KEY": inference_gateway.API_KEY,
            "LIVEKIT_INFERENCE_API_SECRET": inference_gateway.API_SECRET,
            "ANAM_API_KEY": KEY,
            "ANAM_API_URL": self.anam.url,
        }

    def settings(self, **changed: str | None) -> AgentSettings:
        """The same as settings; None takes a variable away."""
        values = {name.lower(): value for name, value in self.environment().items()}
        values |= {"livekit_url": "ws://127.0.0.1:1", "livekit_api_key": "key"}
        values |= {"livekit_api_secret": "secret"}
        return AgentSettings.model_validate({**values, **changed})


@asynccontextmanager
async def fake_providers() -> AsyncGenerator[Fakes]:
    """All of them, running for the block."""
    script = Script()
    async with AsyncExitStack() as stack:
        yield Fakes(
            script=script,
            openai=await stack.enter_async_context(OpenAiCompatible(script)),
            groq=await stack.enter_async_context(Groq(script)),
            cartesia=await stack.enter_async_context(Cartesia(script)),
            elevenlabs=await stack.enter_async_context(ElevenLabs(script)),
            deepgram=await stack.enter_async_context(Deepgram(script)),
            assemblyai=await stack.enter_async_context(AssemblyAi(script)),
            anthropic=await stack.enter_async_context(Anthropic(script)),
            gemini=await stack.enter_async_context(Gemini(script)),
            xai=await stack.enter_async_context(Xai(script)),
            gateway=await stack.enter_async_context(InferenceGateway(script)),
            anam=await stack.enter_async_context(Anam(script)),
        )
