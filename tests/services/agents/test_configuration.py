"""From what was saved and sent to what a session runs with."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.main import tool_url_check
from domain.agents.catalogs import BUILT_IN, extended, parse_extra_models
from domain.agents.config import DEFAULT_LLM, AgentConfig, EngineKind
from domain.agents.saved_agent import SavedAgent
from domain.errors import InvalidInput
from services.agents.capabilities import Capabilities
from services.agents.configuration import Resolved, resolve

GEMINI = "gemini-2.5-flash-native-audio-preview-12-2025"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def saved(**config: Any) -> SavedAgent:
    return SavedAgent(
        org="acme",
        agent_id="ag-1",
        version=4,
        config=AgentConfig.model_validate(config),
        created_at=NOON,
        updated_at=NOON,
    )


def resolved(
    inline: dict[str, Any] | None = None,
    agent: SavedAgent | None = None,
    model: str | None = None,
    voice: str | None = None,
) -> Resolved:
    config = AgentConfig.model_validate(inline) if inline is not None else None
    return resolve(agent, config, BUILT_IN, model=model, voice=voice)


def limited(inline: dict[str, Any], **able: Any) -> dict[str, str]:
    """The warnings of a configuration in an installation with these limits: cure by field."""
    config = AgentConfig.model_validate(inline)
    found = resolve(None, config, BUILT_IN, Capabilities(**able))
    return {warning.field: warning.cure or "" for warning in found.warnings}


def refusal(**how: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        resolved(**how)
    return refused.value


def test_nothing_said_means_the_default_pipeline() -> None:
    found = resolved()

    assert found.config.engine.llm == DEFAULT_LLM == "openai/gpt-4.1-mini"
    assert (found.agent_version, found.warnings) == (None, [])


def test_a_saved_agent_is_the_base_and_names_the_session() -> None:
    agent = saved(prompt="saved", tools=["end_call"], agent_id="another")
    found = resolved({"prompt": "inline", "agent_id": "third"}, agent)

    assert (found.config.prompt, found.config.tools) == ("inline", ["end_call"])
    assert (found.config.agent_id, found.agent_version) == ("ag-1", 4)


@pytest.mark.parametrize(
    "model", ["openai/gpt-5-nano", "openai/gpt-5-mini", "acme/wise-1", "gpt-4"]
)
def test_a_language_model_that_does_not_work_is_refused_with_another_one(model: str) -> None:
    for how, field in (
        ({"inline": {"engine": {"llm": model}}}, "engine.llm"),
        ({"agent": saved(engine={"llm": model})}, "engine.llm"),
        ({"model": model}, "model"),
        ({"model": model, "voice": "cartesia/sonic-3:id"}, "model"),
    ):
        refused = refusal(**how)
        assert refused.field == field
        cure = refused.cure or ""
        assert f"the default is {DEFAULT_LLM}; GET /config/pipeline-options lists all" in cure
        assert f"{model};" not in cure
        assert f"{model}?" not in cure
        assert len(cure) < 150


@pytest.mark.parametrize(
    ("how", "cure"),
    [
        ({"model": "openai/gpt-4.1-mni"}, "did you mean openai/gpt-4.1-mini?"),
        ({"model": "opnai/gpt-4.1-mini"}, "did you mean openai/gpt-4.1-mini?"),
        ({"model": "gpt-4.1-mini"}, "did you mean openai/gpt-4.1-mini?"),
        ({"model": "claude-opus-4.6"}, "did you mean anthropic/claude-opus-4-6?"),
        ({"model": "acme/wise-1"}, f"the default is {DEFAULT_LLM}; GET /config"),
        ({"inline": {"engine": {"kind": "realtime", "llm": "openai/gpt-realtme"}}}, "-realtime?"),
        ({"voice": "aloy"}, "did you mean alloy?"),
        ({"inline": {"engine": {"stt": "deepgrm/nova-3"}}}, "did you mean deepgram?"),
        ({"inline": {"time_zone": "Europe/Viena"}}, "did you mean Europe/Vienna?"),
        ({"inline": {"avatar": {"enabled": True, "provider": "anan"}}}, "did you mean anam?"),
    ],
)
def test_a_misspelt_value_is_refused_with_the_nearest_one(how: dict[str, Any], cure: str) -> None:
    assert cure in (refusal(**how).cure or "")


@pytest.mark.parametrize(
    ("inline", "cure"),
    [
        ({"tools": ["end_cal"]}, "did you mean end_call?"),
        ({"engine": {"tts": "cartesia/sonc-3:v"}}, "did you mean sonic-3?"),
        ({"background_audio": {"ambient": "ofice"}}, "did you mean office"),
    ],
)
def test_a_misspelt_value_is_warned_of_with_the_nearest_one(
    inline: dict[str, Any], cure: str
) -> None:
    [warning] = resolved(inline).warnings
    assert cure in (warning.cure or "")


def test_a_refused_model_says_why() -> None:
    assert "did not join" in refusal(model="openai/gpt-5-nano").message
    assert "is a realtime model" in refusal(model="openai/gpt-realtime").message
    refused = refusal(model="openai/gpt-4.1-mini", voice="alloy")
    assert "is a pipeline model" in refused.message
    assert "openai/gpt-realtime" in (refused.cure or "")


@pytest.mark.parametrize(
    ("voice", "kind", "llm", "heard"),
    [
        ("alloy", EngineKind.REALTIME, "openai/gpt-realtime", "alloy"),
        ("Alloy", EngineKind.REALTIME, "openai/gpt-realtime", "alloy"),
        ("Kore", EngineKind.REALTIME, f"google/{GEMINI}", "Kore"),
        ("mark", EngineKind.REALTIME, "ultravox/fixie-ai/ultravox", "Mark"),
        ("eve", EngineKind.REALTIME, "xai/grok-voice-latest", "eve"),
        ("cartesia/sonic-3:id-1", EngineKind.PIPELINE, DEFAULT_LLM, "cartesia/sonic-3:id-1"),
        ("elevenlabs/v3:id-2", EngineKind.PIPELINE, DEFAULT_LLM, "elevenlabs/v3:id-2"),
    ],
)
def test_the_voice_decides_the_path(voice: str, kind: EngineKind, llm: str, heard: str) -> None:
    engine = resolved(voice=voice).config.engine

    assert (engine.kind, engine.llm) == (kind, llm)
    assert (engine.voice if kind is EngineKind.REALTIME else engine.tts) == heard


def test_a_voice_takes_a_saved_agent_to_the_other_path() -> None:
    pipeline = saved(engine={"llm": "xai/grok-4.3", "tts": "cartesia/sonic-3:x", "language": "de"})
    engine = resolved(agent=pipeline, voice="alloy").config.engine
    assert (engine.kind, engine.llm, engine.language) == ("realtime", "openai/gpt-realtime", "de")
    assert (engine.stt, engine.tts) == (None, None)

    realtime = saved(engine={"kind": "realtime", "llm": "openai/gpt-realtime", "voice": "ash"})
    engine = resolved(agent=realtime, voice="cartesia/sonic-3:x").config.engine
    assert (engine.kind, engine.llm, engine.voice) == ("pipeline", DEFAULT_LLM, None)


def test_a_voice_that_the_realtime_model_lacks_is_refused_with_its_voices() -> None:
    refused = refusal(voice="nobody")
    assert (refused.field, "alloy" in (refused.cure or "")) == ("voice", True)
    engine = {"kind": "realtime", "llm": "google/gemini-3.8-live", "voice": "alloy"}
    refused = refusal(inline={"engine": engine})
    assert (refused.field, "Kore" in (refused.cure or "")) == ("engine.voice", True)


@pytest.mark.parametrize(
    ("llm", "own", "misspelt", "meant"),
    [
        ("ultravox/fixie-ai/ultravox", "my-own", "Jesica", "Jessica"),
        ("xai/grok-voice-latest", "nlbqfwie", "siruis", "sirius"),
    ],
)
def test_a_realtime_model_with_custom_voices_takes_any_and_warns_of_misspelt_ones(
    llm: str, own: str, misspelt: str, meant: str
) -> None:
    def found(voice: str) -> Resolved:
        return resolved({"engine": {"kind": "realtime", "llm": llm, "voice": voice}})

    assert (found(own).config.engine.voice, found(own).warnings) == (own, [])
    assert found(misspelt).config.engine.voice == misspelt
    [warning] = found(misspelt).warnings
    assert (warning.field, warning.cure) == ("engine.voice", f"did you mean {meant}?")


def test_speech_models_must_be_of_a_known_provider_and_may_be_unknown() -> None:
    refused = refusal(inline={"engine": {"stt": "nosuch/model"}})
    assert (refused.field, "deepgram" in (refused.cure or "")) == ("engine.stt", True)
    assert refusal(voice="nosuch/model:x").field == "voice"
    assert refusal(inline={"engine": {"tts": "no-descriptor"}}).field == "engine.tts"

    found = resolved({"engine": {"stt": "deepgram/nova-9"}})
    assert [warning.field for warning in found.warnings] == ["engine.stt"]
    assert "nova-3" in (found.warnings[0].cure or "")


@pytest.mark.parametrize(
    "tts",
    [
        # Listed.
        "deepgram/aura-2:thalia",
        "deepgram/aura-2:agathe-fr",
        "elevenlabs/eleven_turbo_v2_5:hpp4J3VqNfWAUOO0d1Us",
        "inworld/inworld-tts-2:Ashley",
        "openai/gpt-4o-mini-tts:ash",
        # As the provider spells it.
        "deepgram/aura-2:aura-2-thalia-en",
        # An account's own.
        "elevenlabs/eleven_turbo_v2_5:hpp4J3VqNfWAUOO0d1Uz",
        "cartesia/sonic-3:f786b574-daa5-4673-aa0c-cbe3e8534c03",
        "inworld/inworld-tts-2:acme__ashley_clone",
        "rime/mistv2:acme-narrator-7",
        "fishaudio/s2-pro:933563129e564b19a115bedd57b7406b",
        "groq/canopylabs/orpheus-v1-english:x9",
    ],
)
def test_listed_voices_and_an_accounts_own_are_used_without_a_warning(tts: str) -> None:
    for found in (resolved(voice=tts), resolved({"engine": {"tts": tts}})):
        assert found.config.engine.tts == tts
        assert found.warnings == []


@pytest.mark.parametrize(
    ("tts", "cure"),
    [
        ("deepgram/aura-2:andromada", "did you mean andromeda?"),
        ("deepgram/aura-2:Thalia", "did you mean thalia?"),
        ("inworld/inworld-tts-2:Ashely", "did you mean Ashley?"),
        ("rime/mistv2:celest", "did you mean celeste?"),
        ("xai/tts-1:siruis", "did you mean sirius?"),
        ("openai/gpt-4o-mini-tts:nobody", "use one of: alloy"),
        ("elevenlabs/eleven_turbo_v2_5:bella", "write hpp4J3VqNfWAUOO0d1Us"),
        ("elevenlabs/eleven_turbo_v2_5:HPP4J3VqNfWAUOO0d1Us", "did you mean hpp4J3VqNfWAUOO0d1Us?"),
        ("cartesia/sonic-3:Katie", "write f786b574-daa5-4673-aa0c-cbe3e8534c02"),
    ],
)
def test_a_voice_that_is_probably_wrong_is_tried_with_a_warning(tts: str, cure: str) -> None:
    model, _, voice = tts.rpartition(":")
    for found, field in (
        (resolved(voice=tts), "voice"),
        (resolved({"engine": {"tts": tts}}), "engine.tts"),
        (resolved({"engine": {"tts_fallbacks": [tts]}}), "engine.tts_fallbacks[0]"),
        (resolved({"engine": {"tts": model, "voice": voice}}), "engine.voice"),
    ):
        [warning] = found.warnings
        assert (warning.field, cure in (warning.cure or "")) == (field, True), warning
        assert repr(voice) in warning.reason


def test_a_server_of_ones_own_is_named_in_a_setting() -> None:
    catalog = extended(BUILT_IN, parse_extra_models("openai/llama3.3,stt=acme/ears"))
    config = AgentConfig.model_validate({"engine": {"llm": "openai/llama3.3", "stt": "acme/ears"}})

    found = resolve(None, config, catalog)

    assert (found.config.engine.llm, found.warnings) == ("openai/llama3.3", [])


def test_unknown_tools_are_left_out_and_reported() -> None:
    found = resolved({"tools": ["end_call", "fly", "end_call", "swim"]})

    assert found.config.tools == ["end_call"]
    assert [warning.field for warning in found.warnings] == ["tools", "tools"]
    assert "'fly'" in found.warnings[0].reason
    assert "search_knowledge_base" in (found.warnings[0].cure or "")


@pytest.mark.parametrize(
    "base",
    [
        {"base_url": "https://rag.test", "rag_id": "r-1", "params": {"top_k": 3}},
        {"lyzr_rag": {"base_url": "https://rag.test", "rag_id": "r-1", "params": {"top_k": 3}}},
    ],
)
def test_an_enabled_knowledge_base_gives_the_tool_and_its_source(base: dict[str, Any]) -> None:
    found = resolved({"tools": ["end_call"], "knowledge_base": {"enabled": True, **base}})

    assert found.config.tools == ["end_call", "search_knowledge_base"]
    assert found.config.lyzr_rag is not None
    assert found.config.lyzr_rag.model_dump(exclude_none=True) == {
        "base_url": "https://rag.test",
        "rag_id": "r-1",
        "params": {"top_k": 3},
    }
    assert found.warnings == []


def test_agentic_sources_come_from_the_knowledge_base_and_own_ones_go_first() -> None:
    base = {"enabled": True, "agentic_rag": [{"id": "from-base"}], "base_url": "u", "rag_id": "r"}
    found = resolved({"knowledge_base": base})
    assert [entry.model_extra for entry in found.config.agentic_rag] == [{"id": "from-base"}]

    own = {"agentic_rag": [{"id": "own"}], "lyzr_rag": {"base_url": "o", "rag_id": "own"}}
    found = resolved({"knowledge_base": base, **own})
    assert [entry.model_extra for entry in found.config.agentic_rag] == [{"id": "own"}]
    assert found.config.lyzr_rag is not None
    assert found.config.lyzr_rag.rag_id == "own"


def test_a_knowledge_base_that_is_off_gives_nothing_and_one_without_source_is_reported() -> None:
    found = resolved({"knowledge_base": {"enabled": False, "base_url": "u", "rag_id": "r"}})
    assert (found.config.tools, found.config.lyzr_rag) == ([], None)

    found = resolved({"knowledge_base": {"enabled": True}})
    assert found.config.tools == ["search_knowledge_base"]
    assert [warning.field for warning in found.warnings] == ["knowledge_base"]

    refused = refusal(inline={"knowledge_base": {"enabled": True, "base_url": "u"}})
    assert refused.field == "knowledge_base.rag_id"


def test_fallbacks_are_checked_like_the_first_choice() -> None:
    engine = {
        "stt_fallbacks": ["deepgram/nova-3", "deepgram/nova-9"],
        "llm_fallbacks": ["anthropic/claude-sonnet-4-6"],
        "tts_fallbacks": ["cartesia/sonic-3:some-voice"],
    }
    found = resolved({"engine": engine})

    assert [warning.field for warning in found.warnings] == ["engine.stt_fallbacks[1]"]


@pytest.mark.parametrize(
    ("engine", "field"),
    [
        ({"stt_fallbacks": ["acme/ears"]}, "engine.stt_fallbacks[0]"),
        ({"llm_fallbacks": ["openai/gpt-4.1", "openai/gpt-5-nano"]}, "engine.llm_fallbacks[1]"),
        ({"tts_fallbacks": ["sonic-3"]}, "engine.tts_fallbacks[0]"),
    ],
)
def test_a_fallback_that_does_not_exist_is_refused(engine: dict[str, Any], field: str) -> None:
    assert refusal(inline={"engine": engine}).field == field


def test_sounds_and_filters_that_do_not_exist_are_warned_of() -> None:
    found = resolved(
        {
            "background_audio": {"ambient": "office", "tool_call": {"clip": "drums"}},
            "noise_cancellation": {"enabled": True, "type": "magic"},
        }
    )

    assert [warning.field for warning in found.warnings] == [
        "background_audio.tool_call",
        "noise_cancellation.type",
    ]
    assert all("use one of: " in (warning.cure or "") for warning in found.warnings)


@pytest.mark.parametrize("text", ["office", "OFFICE_AMBIENCE", "office-ambience.ogg"])
def test_clips_are_known_by_all_their_names(text: str) -> None:
    assert resolved({"background_audio": {"ambient": text}}).warnings == []


def test_an_avatar_that_cannot_start_is_refused_unless_it_is_switched_off() -> None:
    nope = {"provider": "nope", "anam": {"avatarId": "av_1"}}
    refused = refusal(inline={"avatar": nope | {"enabled": True}})
    assert (refused.field, refused.cure) == ("avatar.provider", "use one of: anam")
    unnamed = {"provider": "anam", "anam": {"apiKey": "k"}}
    assert refusal(inline={"avatar": unnamed | {"enabled": True}}).field == "avatar.anam.avatarId"

    assert resolved({"avatar": nope}).config.avatar
    for spelling in ("avatarId", "avatar_id"):
        found = resolved({"avatar": {"enabled": True, "anam": {spelling: "av_1"}}})
        assert found.config.avatar
        assert found.config.avatar.anam_avatar_id == "av_1"


def test_urls_that_the_agent_worker_does_not_call_are_warned_of() -> None:
    tool = {"name": "order", "description": "Finds an order."}
    inline = {
        "http_tools": [
            tool | {"url": "https://shop.example.com/{{id}}"},
            tool | {"name": "local", "url": "http://localhost:9000/order"},
        ],
        "mcp_servers": [{"url": "http://10.0.0.7/mcp"}, {"url": "https://mcp.example.com"}],
        "lyzr_rag": {"base_url": "http://127.0.0.1:8000", "rag_id": "r"},
    }

    strict = limited(inline, check_url=tool_url_check(allow_private=False))
    assert strict.keys() == {"http_tools.1.url", "mcp_servers.0.url", "lyzr_rag.base_url"}
    assert all("EVERLINE_ALLOW_PRIVATE_TOOL_URLS=true" in cure for cure in strict.values())
    assert limited(inline, check_url=tool_url_check(allow_private=True)) == {}


def test_what_the_extractive_summariser_cannot_do_is_warned_of() -> None:
    plan = {
        "summary_prompt": "For the kitchen.",
        "data_schema": {"type": "object", "properties": {"guests": {"type": "integer"}}},
        "success_criteria": [{"id": "booked", "description": "A table is booked."}],
    }

    for name, value in plan.items():
        found = limited({"analysis": {name: value}}, analyses=False)
        assert found == {f"analysis.{name}": "set SUMMARISER=openai, which uses a language model"}
    assert limited({"analysis": plan}) == {}
    assert limited({"analysis": {}}, analyses=False) == {}


def test_a_recording_without_storage_is_warned_of() -> None:
    cure = "set EVERLINE_RECORDINGS_URL"
    assert limited({"recording": {"enabled": True}}, recordings=False) == {"recording": cure}
    assert limited({"recording": {"enabled": False}}, recordings=False) == {}
    assert limited({"recording": {"enabled": True}}) == {}
