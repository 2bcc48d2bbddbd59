"""A whole call per provider family: official plugins, real rooms, fakes at the wire's other end."""

from typing import Any

import pytest

from domain.agents.config import AgentConfig, ConversationStart, Engine
from tests.agent.engines.providers.accounts import KEY, Fakes
from tests.agent.live import (
    BOOK_A_TABLE,
    GREETING,
    LiveSession,
)
from tests.fakes.providers import cartesia, elevenlabs, xai
from tests.fakes.providers.provider import Mishap
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

CARTESIA = f"cartesia/sonic-3:{cartesia.VOICE}"
ELEVENLABS = f"elevenlabs/eleven_turbo_v2_5:{elevenlabs.VOICE}"


async def talk(session: LiveSession, engine: Engine, **config: Any) -> dict[str, Any]:
    """Greeting, a question, an answer; returns the report."""
    callbacks = session.callbacks
    session.config = AgentConfig(
        engine=engine, conversation_start=ConversationStart(who="ai", greeting=GREETING), **config
    )
    await session.dispatch()
    caller = await session.call()
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        # Who speaks before the agent knows that it has finished cuts it off.
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        await caller.wait_until_heard(30)
        asked = caller.heard.now()
        await caller.play(BOOK_A_TABLE)
        await caller.wait_until_agent_spoke(asked, within=60)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)
        await session.ask_to_finish("end_requested")
        await callbacks.wait_for(lambda: bool(callbacks.reports))
    finally:
        await caller.disconnect()
    [report] = callbacks.reports
    return report


async def report_of_a_call(session: LiveSession) -> dict[str, Any]:
    """Of one whose caller says nothing until the agent has reported."""
    await session.dispatch()
    caller = await session.call()
    try:
        await session.callbacks.wait_for(lambda: bool(session.callbacks.reports))
    finally:
        await caller.disconnect()
    [report] = session.callbacks.reports
    return report


def texts(session: LiveSession) -> list[tuple[str, str]]:
    return [(turn["role"], turn["text"]) for turn in session.callbacks.turns.values()]


CONVERSATION = [
    ("assistant", GREETING),
    ("user", "I would like to book a table."),
    ("assistant", "For which day?"),
]


async def test_a_call_with_a_voice_of_cartesia(session: LiveSession, fakes: Fakes) -> None:
    engine = Engine(
        stt="cartesia/ink-whisper", llm="openai/gpt-4.1-mini", tts=CARTESIA, language="en"
    )
    report = await talk(session, engine, pronunciation_rules={"table": "tayble", "Day": "dayh"})

    assert texts(session) == CONVERSATION
    assert report["end_reason"] == "end_requested"
    assert report["configured_otherwise"] == []
    # Spoken by the rules, written as it is.
    assert fakes.cartesia.said() == "Hello, this is the tayble service. For which dayh?"
    spoken = next(each for each in fakes.cartesia.at("/tts/websocket") if each.body)
    assert spoken.body["model_id"] == "sonic-3"
    assert spoken.body["voice"] == {"mode": "id", "id": cartesia.VOICE}
    assert spoken.headers["x-api-key"] == KEY
    [heard] = fakes.cartesia.at("/stt/websocket")
    assert (heard.query["model"], heard.query["language"]) == ("ink-whisper", "en")
    [asked] = fakes.openai.at("/chat/completions")
    assert asked.body["model"] == "gpt-4.1-mini"


async def test_a_call_with_a_voice_of_elevenlabs(session: LiveSession, fakes: Fakes) -> None:
    engine = Engine(
        stt="deepgram/nova-3", llm="anthropic/claude-sonnet-4-6", tts=ELEVENLABS, language="en-GB"
    )
    report = await talk(session, engine, preemptive_generation=False, prompt="You book tables.")

    assert texts(session) == CONVERSATION
    assert report["end_reason"] == "end_requested"
    assert fakes.elevenlabs.said() == "Hello, this is the table service. For which day?"
    spoken = fakes.elevenlabs.at("/multi-stream-input")[0]
    assert f"/{elevenlabs.VOICE}/" in spoken.path
    assert (spoken.query["model_id"], spoken.query["language_code"]) == ("eleven_turbo_v2_5", "en")
    assert spoken.headers["xi-api-key"] == KEY
    [heard] = fakes.deepgram.at("/v1/listen")
    assert (heard.query["model"], heard.query["language"]) == ("nova-3", "en-GB")
    assert heard.headers["authorization"] == f"Token {KEY}"
    [asked] = fakes.anthropic.at("/v1/messages")
    assert asked.body["model"] == "claude-sonnet-4-6"
    assert "You book tables." in str(asked.body["system"])


async def test_a_call_with_assemblyai_gemini_and_deepgram(
    session: LiveSession, fakes: Fakes
) -> None:
    engine = Engine(
        stt="assemblyai/universal-streaming",
        llm="google/gemini-2.5-flash",
        tts="deepgram/aura-2:thalia",
    )
    await talk(session, engine, turn_detection="multilingual")

    assert texts(session) == CONVERSATION
    [heard] = fakes.assemblyai.at("/v3/ws")
    assert heard.query["speech_model"] == "universal-streaming-english"
    assert fakes.gemini.at("gemini-2.5-flash:streamGenerateContent")
    assert fakes.deepgram.at("/v1/speak")[0].query["model"] == "aura-2-thalia-en"
    assert fakes.deepgram.said() == "Hello, this is the table service. For which day?"


@pytest.mark.parametrize(
    "ears",
    ["deepgram/flux-general", "cartesia/ink-2", "elevenlabs/scribe_v2_realtime", "xai/stt-1"],
)
async def test_a_call_whose_turns_end_where_its_ears_say(
    session: LiveSession, fakes: Fakes, ears: str
) -> None:
    engine = Engine(stt=ears, llm=f"xai/{xai.MODEL}", tts="xai/tts-1:rex", language="en-GB")
    report = await talk(session, engine, vad_enabled=False, prompt="You book tables.")

    assert texts(session) == CONVERSATION
    assert report["configured_otherwise"] == []
    assert fakes.xai.said() == "Hello, this is the table service. For which day?"
    spoken = fakes.xai.at("/v1/tts")[0]
    assert (spoken.query["voice"], spoken.query["language"]) == ("rex", "en")
    [asked] = fakes.xai.at("/v1/responses")
    assert asked.body["model"] == xai.MODEL
    assert "You book tables." in str(asked.body["input"])


async def test_a_call_with_ears_and_a_fallback_that_hear_turns_each_in_its_way(
    session: LiveSession, fakes: Fakes
) -> None:
    engine = Engine(
        stt="elevenlabs/scribe_v2_realtime",
        stt_fallbacks=["deepgram/nova-3"],
        llm="openai/gpt-4.1-mini",
        tts=f"elevenlabs/eleven_v3:{elevenlabs.VOICE}",
    )
    await talk(session, engine)

    assert texts(session) == CONVERSATION
    assert fakes.elevenlabs.said() == "Hello, this is the table service. For which day?"
    [heard] = fakes.elevenlabs.at("/speech-to-text/realtime")
    assert heard.query["commit_strategy"] == "vad"


async def test_a_call_through_livekit_inference(session: LiveSession, fakes: Fakes) -> None:
    # No plugin of ours has these: the gateway does.
    engine = Engine(stt="speechmatics/enhanced", llm="moonshotai/kimi-k2.6", tts="rime/mistv2:cove")
    # The gateway says when a turn is over.
    await talk(session, engine, vad_enabled=False)

    assert texts(session) == CONVERSATION
    gateway = fakes.gateway
    hearing, speaking = (
        next(each.body for each in gateway.at(path) if each.body) for path in ("/stt", "/tts")
    )
    assert hearing["model"] == "speechmatics/enhanced"
    assert (speaking["model"], speaking["voice"]) == ("rime/mistv2", "cove")
    assert gateway.at("/chat/completions")[0].body["model"] == "moonshotai/kimi-k2.6"
    assert gateway.said() == "Hello, this is the table service. For which day?"


async def test_the_fallbacks_of_a_stage_stand_in_in_the_call(
    session: LiveSession, fakes: Fakes
) -> None:
    # Accepted before the call, and out of order when it is needed.
    fakes.cartesia.mishap = Mishap(503, only="/tts")
    fakes.groq.mishap = Mishap(503, only="/chat")
    engine = Engine(
        stt="acme/ears-1",
        stt_fallbacks=["deepgram/nova-3"],
        llm="groq/llama-3.3-70b-versatile",
        llm_fallbacks=["openai/gpt-4.1-mini"],
        tts=CARTESIA,
        tts_fallbacks=[ELEVENLABS],
    )
    fakes.gateway.mishap = Mishap(401)
    report = await talk(session, engine)

    assert texts(session) == CONVERSATION
    assert "For which day?" in fakes.elevenlabs.said()
    [otherwise] = report["configured_otherwise"]
    assert otherwise["field"] == "engine.stt"
    assert otherwise["reason"].startswith("engine.stt: LiveKit Inference refuses the key")
    assert "'deepgram/nova-3' is used" in otherwise["reason"]


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (
            Engine(tts="cartesia/sonic-3:no-such-voice"),
            "engine.tts: 'cartesia' does not have the voice 'no-such-voice'",
        ),
        (
            Engine(llm="openai/gpt-0"),
            "engine.llm: 'openai' does not have the model 'gpt-0'",
        ),
        (
            Engine(stt="deepgram/nova-3", stt_fallbacks=["deepgram/nova-2"]),
            "engine.stt: 'deepgram' refuses the key",
        ),
    ],
)
async def test_an_engine_that_is_refused_says_so_before_it_is_heard(
    session: LiveSession, fakes: Fakes, engine: Engine, reason: str
) -> None:
    fakes.deepgram.mishap = Mishap(401)
    session.config = AgentConfig(
        engine=engine, conversation_start=ConversationStart(who="ai", greeting=GREETING)
    )
    await session.dispatch()
    await session.callbacks.wait_for(lambda: bool(session.callbacks.of("failed")))
    await session.wait_until_no_agent()

    [failed] = session.callbacks.received
    assert failed.body["reason"].startswith(reason)
    assert failed.body["retryable"] is False
    assert KEY not in failed.raw


@pytest.mark.parametrize(
    ("provider", "path", "reason"),
    [
        ("cartesia", "/tts/websocket", "tts: livekit.plugins.cartesia.tts.TTS cannot"),
        ("openai", "/chat", "llm: livekit.plugins.openai.llm.LLM cannot serve now (status 503)"),
    ],
)
async def test_the_first_answer_that_cannot_be_had_ends_the_call_with_its_reason(
    session: LiveSession, fakes: Fakes, provider: str, path: str, reason: str
) -> None:
    getattr(fakes, provider).mishap = Mishap(503, only=path)
    # The caller says nothing: there is no other turn after the greeting.
    start = ConversationStart(who="ai", greeting=GREETING if provider == "cartesia" else None)
    session.config = AgentConfig(
        engine=Engine(stt="deepgram/nova-3", tts=CARTESIA), conversation_start=start
    )
    report = await report_of_a_call(session)

    assert report["end_reason"] == "error"
    assert report["error"].startswith(reason)
    assert report["turns"] == []


async def test_an_answer_that_is_had_at_the_second_try_ends_nothing(
    session: LiveSession, fakes: Fakes
) -> None:
    fakes.openai.mishap = Mishap(503, only="/chat")
    session.config = AgentConfig(
        engine=Engine(stt="deepgram/nova-3", tts=CARTESIA),
        conversation_start=ConversationStart(who="ai"),
    )
    await session.dispatch()
    caller = await session.call()
    try:
        await eventually(lambda: bool(fakes.openai.at("/chat")))
        fakes.openai.mishap = None
        await caller.wait_until_agent_spoke(0, within=60)
        await session.callbacks.wait_for(lambda: len(session.callbacks.turns) == 1)
        await session.ask_to_finish("end_requested")
        await session.callbacks.wait_for(lambda: bool(session.callbacks.reports))
    finally:
        await caller.disconnect()

    [report] = session.callbacks.reports
    assert (report["end_reason"], report["error"]) == ("end_requested", None)


async def test_a_refusal_in_the_call_ends_it_with_its_reason(
    session: LiveSession, fakes: Fakes
) -> None:
    fakes.openai.mishap = Mishap(401, only="/chat")
    session.config = AgentConfig(
        engine=Engine(stt="deepgram/nova-3", tts=CARTESIA),
        conversation_start=ConversationStart(who="ai"),
    )
    report = await report_of_a_call(session)

    assert report["end_reason"] == "error"
    assert "refuses the key (status 401)" in report["error"]
    assert len(fakes.openai.at("/chat")) == 1
