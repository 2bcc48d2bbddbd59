"""One stage at a time, over the wire: what a descriptor becomes, and what comes back."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from livekit.agents import inference
from livekit.agents.utils import http_context

from agent.engines import (
    EngineFault,
    EngineInputs,
    EngineParts,
    EngineUnavailable,
    build_engine,
    load_engine_plugins,
)
from domain.agents.config import DispatchedConfig, Engine
from tests.agent.engines.providers.accounts import KEY, Fakes, fake_providers
from tests.agent.engines.providers.stages import heard_by, spoken_by, thought_by
from tests.fakes.providers import anthropic, cartesia, elevenlabs, gemini, xai
from tests.fakes.providers.provider import ANSWER_SECONDS, FakeProvider, Mishap

SAFE = Engine(
    stt="openai/gpt-4o-mini-transcribe",
    llm="openai/gpt-4.1-mini",
    tts="openai/gpt-4o-mini-tts",
)


@dataclass
class Workshop:
    """Fakes, and the engines that are built upon them."""

    fakes: Fakes
    engines: list[EngineParts]

    async def build(self, engine: Engine, **settings: str | None) -> EngineParts:
        config = DispatchedConfig(engine=engine)
        inputs = EngineInputs(
            config=config, settings=self.fakes.settings(**settings), vad=inference.VAD()
        )
        load_engine_plugins(inputs)
        self.engines.append(await asyncio.to_thread(build_engine, inputs))
        return self.engines[-1]


@pytest.fixture
async def workshop(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Workshop]:
    # How long providers are waited for is the matter of one test alone.
    monkeypatch.setattr("agent.engines.preflight.PROBE_SECONDS", 30.0)
    async with fake_providers() as fakes, http_context.open():
        shop = Workshop(fakes, [])
        yield shop
        for parts in shop.engines:
            for part in (parts.stt, parts.llm, parts.tts):
                if part is not None:
                    await part.aclose()


@pytest.fixture
def fakes(workshop: Workshop) -> Fakes:
    return workshop.fakes


@pytest.mark.parametrize(
    ("provider", "descriptor", "language", "path", "query"),
    [
        ("cartesia", "cartesia/ink-whisper", "de", "/stt/websocket", {"language": "de"}),
        ("deepgram", "deepgram/nova-3", "fr", "/v1/listen", {"language": "fr"}),
        (
            "assemblyai",
            "assemblyai/universal-3-6-pro",
            "es",
            "/v3/ws",
            {"language_codes": '["es"]'},
        ),
        ("cartesia", "cartesia/ink-2", "en", "/stt/turns/websocket", {"model": "ink-2"}),
        ("deepgram", "deepgram/flux-general", "en-GB", "/v2/listen", {"model": "flux-general-en"}),
        ("deepgram", "deepgram/flux-general", "fr", "/v2/listen", {"model": "flux-general-multi"}),
        (
            "elevenlabs",
            "elevenlabs/scribe_v2_realtime",
            "en-GB",
            "/speech-to-text/realtime",
            {"language_code": "en", "model_id": "scribe_v2_realtime"},
        ),
        ("xai", "xai/stt-1", "pt-BR", "/v1/stt", {"language": "pt"}),
    ],
)
async def test_ears_that_stream(
    workshop: Workshop,
    fakes: Fakes,
    provider: str,
    descriptor: str,
    language: str,
    path: str,
    query: dict[str, str],
) -> None:
    engine = SAFE.model_copy(update={"stt": descriptor, "language": language})
    parts = await workshop.build(engine)

    assert await heard_by(parts.stt) == fakes.script.heard
    fake: FakeProvider = getattr(fakes, provider)
    [request] = fake.at(path)
    assert request.query.items() >= query.items()


@pytest.mark.parametrize("provider", ["openai", "groq"])
@pytest.mark.parametrize("language", [None, "de"])
async def test_ears_that_take_an_utterance_at_a_time(
    workshop: Workshop, fakes: Fakes, provider: str, language: str | None
) -> None:
    model = {"openai": "gpt-4o-mini-transcribe", "groq": "whisper-large-v3"}[provider]
    engine = SAFE.model_copy(update={"stt": f"{provider}/{model}", "language": language})
    parts = await workshop.build(engine)

    assert await heard_by(parts.stt) == fakes.script.heard
    fake: FakeProvider = getattr(fakes, provider)
    [request] = fake.at("/audio/transcriptions")
    assert request.body["model"] == model
    assert request.body.get("language") == language
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("provider", "descriptor", "path"),
    [
        ("openai", "openai/gpt-4.1-mini", "/v1/chat/completions"),
        ("groq", "groq/llama-3.3-70b-versatile", "/v1/chat/completions"),
        ("anthropic", f"anthropic/{anthropic.MODEL}", "/v1/messages"),
        ("gemini", f"google/{gemini.MODEL}", ":streamGenerateContent"),
        ("xai", f"xai/{xai.MODEL}", "/v1/responses"),
        ("gateway", "zai/glm-5.1", "/v1/chat/completions"),
    ],
)
# Google's client subclasses aiohttp's session, which aiohttp discourages.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_minds(
    workshop: Workshop, fakes: Fakes, provider: str, descriptor: str, path: str
) -> None:
    parts = await workshop.build(SAFE.model_copy(update={"llm": descriptor}))

    assert await thought_by(parts.llm) == fakes.script.answer
    fake: FakeProvider = getattr(fakes, provider)
    [request] = fake.at(path)
    assert fakes.script.heard in str(request.body)


@pytest.mark.parametrize(
    ("provider", "descriptor", "path", "where"),
    [
        ("openai", "openai/gpt-4o-mini-tts:coral", "/audio/speech", '"coral"'),
        ("groq", "groq/canopylabs/orpheus-v1-english:diana", "/audio/speech", '"diana"'),
        ("cartesia", f"cartesia/sonic-3:{cartesia.VOICE}", "/tts/websocket", cartesia.VOICE),
        (
            "elevenlabs",
            f"elevenlabs/eleven_turbo_v2_5:{elevenlabs.VOICE}",
            "/multi-stream-input",
            elevenlabs.VOICE,
        ),
        (
            "elevenlabs",
            f"elevenlabs/eleven_v3:{elevenlabs.VOICE}",
            "/text-to-dialogue/multi-stream-input",
            elevenlabs.VOICE,
        ),
        ("xai", "xai/tts-1:rex", "/v1/tts", '"rex"'),
        ("deepgram", "deepgram/aura-2:thalia", "/v1/speak", "aura-2-thalia-de"),
        ("gateway", "inworld/inworld-tts-2:Ashley", "/v1/tts", '"Ashley"'),
    ],
)
async def test_voices(
    workshop: Workshop, fakes: Fakes, provider: str, descriptor: str, path: str, where: str
) -> None:
    engine = SAFE.model_copy(update={"tts": descriptor, "language": "de"})
    parts = await workshop.build(engine)

    # pytest leaves the type of what `approx` compares open.
    assert await spoken_by(parts.tts, "For which day?") == pytest.approx(ANSWER_SECONDS, abs=0.1)  # pyright: ignore[reportUnknownMemberType]
    fake: FakeProvider = getattr(fakes, provider)
    assert fake.said() == "For which day?"
    requests = [(each.path, each.query, each.body) for each in fake.at(path)]
    assert where in str(requests).replace("'", '"')


@pytest.mark.parametrize(
    ("language", "spoken"), [(None, "auto"), ("en-GB", "en"), ("pt-BR", "pt-BR"), ("sv", "auto")]
)
async def test_xai_is_told_a_language_that_its_voices_have(
    workshop: Workshop, fakes: Fakes, language: str | None, spoken: str
) -> None:
    parts = await workshop.build(SAFE.model_copy(update={"tts": "xai/tts-1", "language": language}))
    await spoken_by(parts.tts, "For which day?")

    assert fakes.xai.at("/v1/tts")[0].query["language"] == spoken


async def test_a_bare_voice_is_that_of_the_first_choice_alone(
    workshop: Workshop, fakes: Fakes
) -> None:
    engine = SAFE.model_copy(
        update={"voice": "coral", "tts_fallbacks": ["cartesia/sonic-3"], "tts": "openai/tts-1"}
    )
    fakes.openai.models = (*fakes.openai.models, "tts-1")
    parts = await workshop.build(engine)
    await spoken_by(parts.tts, "For which day?")

    assert fakes.openai.at("/audio/speech")[0].body["voice"] == "coral"
    assert "coral" not in str(fakes.cartesia.seen)


async def test_a_fallback_stands_in_for_a_voice_that_fails(
    workshop: Workshop, fakes: Fakes
) -> None:
    fakes.openai.mishap = Mishap(503, only="/audio/speech")
    engine = SAFE.model_copy(
        update={"tts_fallbacks": [f"elevenlabs/eleven_turbo_v2_5:{elevenlabs.VOICE}"]}
    )
    parts = await workshop.build(engine)

    assert parts.notices == ()
    assert await spoken_by(parts.tts, "For which day?") > 0.5
    assert fakes.elevenlabs.said() == "For which day?"


async def test_a_provider_without_a_key_here_is_reached_through_inference(
    workshop: Workshop, fakes: Fakes
) -> None:
    engine = SAFE.model_copy(update={"tts": f"cartesia/sonic-3:{cartesia.VOICE}"})
    parts = await workshop.build(engine, cartesia_api_key=None)
    await spoken_by(parts.tts, "For which day?")

    assert fakes.cartesia.seen == []
    [created] = [each.body for each in fakes.gateway.at("/v1/tts") if each.body]
    assert (created["model"], created["voice"]) == ("cartesia/sonic-3", cartesia.VOICE)


@pytest.mark.parametrize(
    ("engine", "setting"),
    [
        (Engine(stt="cartesia/ink-whisper"), "CARTESIA_API_KEY"),
        (Engine(llm=f"anthropic/{anthropic.MODEL}"), "ANTHROPIC_API_KEY"),
        (Engine(llm=f"google/{gemini.MODEL}"), "GOOGLE_API_KEY"),
        (Engine(tts=f"elevenlabs/eleven_v3:{elevenlabs.VOICE}"), "ELEVEN_API_KEY"),
        (Engine(stt="assemblyai/universal-streaming"), "ASSEMBLYAI_API_KEY"),
        (Engine(stt="deepgram/nova-3"), "DEEPGRAM_API_KEY"),
        (Engine(llm="groq/llama-3.3-70b-versatile"), "GROQ_API_KEY"),
        (Engine(tts="rime/mistv2"), "LIVEKIT_INFERENCE_API_SECRET"),
    ],
)
async def test_a_wrong_key_is_found_before_the_call(
    workshop: Workshop, fakes: Fakes, engine: Engine, setting: str
) -> None:
    wrong = {setting.lower(): "sk-wrong-and-of-at-least-thirty-two-characters"}
    named = {name: value for name, value in engine.model_dump().items() if value}
    with pytest.raises(EngineFault, match=rf"refuses the key .*; correct {setting}") as fault:
        await workshop.build(SAFE.model_copy(update=named), **wrong)

    assert fault.value.field in {"engine.stt", "engine.llm", "engine.tts"}
    assert "sk-wrong" not in str(fault.value)


@pytest.mark.parametrize(
    ("mishap", "why"),
    [
        (Mishap(503), "a provider that is down may be up in the call"),
        (Mishap(404, {"detail": "Not Found"}), "a compatible server without a list of models"),
        (Mishap(403, {"error": "missing scope"}), "a key that may not list models may use them"),
        (Mishap(401, {"detail": {"status": "missing_permissions"}}), "likewise"),
    ],
)
async def test_what_is_no_certain_refusal_is_tried_in_the_call(
    workshop: Workshop, fakes: Fakes, mishap: Mishap, why: str
) -> None:
    fakes.openai.mishap = mishap

    assert (await workshop.build(SAFE)).notices == (), why


async def test_a_stage_that_cannot_be_reached_is_not_started_with(
    workshop: Workshop, fakes: Fakes
) -> None:
    away = {"groq_base_url": "http://127.0.0.1:1"}
    groq = "groq/llama-3.3-70b-versatile"
    with pytest.raises(EngineUnavailable, match=r"^engine\.llm: 'groq' cannot be reached$"):
        await workshop.build(SAFE.model_copy(update={"llm": groq}), **away)

    # It may be back in the call, in which the other one stands in for it.
    engine = SAFE.model_copy(update={"llm": groq, "llm_fallbacks": [SAFE.llm]})
    assert (await workshop.build(engine, **away)).notices == ()

    # The other one is refused, so there is none left.
    wrong = "sk-wrong-and-of-at-least-thirty-two-characters"
    refused = {"llm": groq, "llm_fallbacks": [f"anthropic/{anthropic.MODEL}"]}
    with pytest.raises(EngineUnavailable, match=r"^engine\.llm: 'groq' cannot be reached$"):
        await workshop.build(SAFE.model_copy(update=refused), anthropic_api_key=wrong, **away)


async def test_a_provider_that_does_not_answer_does_not_hold_up_the_call(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.engines.preflight.PROBE_SECONDS", 3.0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        engine = SAFE.model_copy(update={"llm": "groq/llama-3.3-70b-versatile"})
        assert (
            await workshop.build(engine, groq_base_url=f"http://127.0.0.1:{port}")
        ).notices == ()
