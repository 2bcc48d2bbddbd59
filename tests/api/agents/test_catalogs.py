"""The catalogs, which need no key."""

from dataclasses import replace

from domain.agents.catalogs import BUILT_IN, extended, parse_extra_models
from tests.api.door import Door, open_door


async def test_the_tool_registry(keyless: Door) -> None:
    answer = await keyless.http.get("/config/tools")

    assert answer.status_code == 200
    tools = {tool["id"]: tool for tool in answer.json()["tools"]}
    assert {"end_call", "search_knowledge_base"} <= set(tools)
    assert all(tool["name"] and tool["description"] for tool in tools.values())
    assert "max-age" in answer.headers["cache-control"]


async def test_the_realtime_options_have_four_providers_with_models_and_voices(
    keyless: Door,
) -> None:
    providers = (await keyless.http.get("/config/realtime-options")).json()["providers"]

    assert [one["name"] for one in providers] == [
        "OpenAI",
        "Google Gemini",
        "Ultravox",
        "xAI Grok",
    ]
    for provider in providers:
        ids = [model["id"] for model in provider["models"]]
        assert all(one.startswith(f"{provider['id']}/") for one in ids)
        assert provider["defaultModel"] in ids
        assert provider["defaultVoice"] in [voice["id"] for voice in provider["voices"]]


async def test_the_pipeline_options_have_what_works_and_not_what_is_refused(keyless: Door) -> None:
    options = (await keyless.http.get("/config/pipeline-options")).json()

    assert set(options) == {"stt", "llm", "tts"}
    models = {
        stage: {model["id"] for one in options[stage]["providers"] for model in one["models"]}
        for stage in options
    }
    assert "openai/gpt-4.1-mini" in models["llm"]
    assert not {"openai/gpt-5-nano", "openai/gpt-5-mini"} & models["llm"]
    assert "cartesia/sonic-3" in models["tts"]
    assert any(model.startswith("elevenlabs/") for model in models["tts"])
    assert "deepgram/nova-3" in models["stt"]
    assert all(options[stage]["date"] for stage in options)


async def test_every_provider_of_speech_offers_voices_by_name(keyless: Door) -> None:
    options = (await keyless.http.get("/config/pipeline-options")).json()
    providers = {one["id"]: one for one in options["tts"]["providers"]}

    for name, one in providers.items():
        assert one["voices"], name
        assert all(voice["id"] and voice["name"] for voice in one["voices"]), name
        ids = [voice["id"] for voice in one["voices"]]
        assert one["defaultVoice"] in [None, *ids], name
        # Cloned voices work everywhere but at OpenAI, which has none.
        assert one["customVoices"] is (name != "openai"), name
    voices = {
        name: {voice["name"]: voice["id"] for voice in one["voices"]}
        for name, one in providers.items()
    }
    assert voices["elevenlabs"]["Alice"] == "Xb7hH8MSUJpSbSDYk0k2"
    assert voices["cartesia"]["Katie"] == "f786b574-daa5-4673-aa0c-cbe3e8534c02"
    assert voices["deepgram"]["thalia"] == "thalia"
    assert {"Ashley", "astra"} <= voices["inworld"].keys() | voices["rime"].keys()


async def test_everything_that_is_offered_can_be_chosen(door: Door) -> None:
    """What the catalog offers is what the door lets in: both read the same list."""
    catalog = extended(BUILT_IN, parse_extra_models("openai/llama3.3"))
    async with open_door(door.studio, replace(door.deps, catalog=catalog)) as extra:
        options = (await extra.http.get("/config/pipeline-options")).json()
        ids = [model["id"] for one in options["llm"]["providers"] for model in one["models"]]
        assert "openai/llama3.3" in ids
        body = {"userIdentity": "c", "roomName": "not allowed"}
        for model in ids:
            config = {"engine": {"llm": model}}
            answer = await extra.http.post("/session", json=body | {"agentConfig": config})
            # The model is let in: it is the room's name that is refused.
            assert answer.json()["errors"][0]["field"] == "roomName", model
