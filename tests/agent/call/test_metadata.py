"""Dispatch metadata that is whole, foreign, newer or broken."""

import json

import pytest
from livekit.protocol.agent import Job

from agent.call.metadata import MetadataFault, job_ref, read_metadata
from domain.agents.config import AgentConfig, Engine
from domain.agents.sound_config import BackgroundAudio, Sound
from domain.ids import SessionKey
from domain.sessions.dispatch_metadata import EverlineMetadata, dispatch_metadata

EVERLINE = EverlineMetadata(
    org="local", attempt=3, callback_url="http://127.0.0.1:1", callback_token="evcb_secret"
)
TEXT = dispatch_metadata(
    AgentConfig(prompt="Hi"), SessionKey("local", "s1"), None, EVERLINE
).model_dump_json()


def test_what_everline_sends_is_read_back() -> None:
    metadata = read_metadata(TEXT, "room")

    assert (metadata.session_id, metadata.prompt, metadata.everline) == ("s1", "Hi", EVERLINE)
    assert job_ref(Job(metadata=TEXT)).attempt == 3


def test_fields_of_a_newer_everline_are_ignored() -> None:
    newer = json.loads(TEXT) | {
        "new_field": 1,
        "engine": {"llm": "openai/gpt-4.1-mini", "speed": 2},
        "background_audio": {"ambient": {"clip": "office", "fade": 1}},
        "http_tools": [{"name": "a", "description": "b", "url": "http://x/y", "retries": 2}],
        "agentic_rag": [{"rag_id": "r1"}],
    }
    newer["everline"]["region"] = "eu"
    text = json.dumps(newer)
    metadata = read_metadata(text, "room")

    assert metadata.engine == Engine(llm="openai/gpt-4.1-mini")
    assert metadata.background_audio == BackgroundAudio(ambient=Sound(clip="office"))
    assert [tool.name for tool in metadata.http_tools] == ["a"]
    # What may have any field keeps all of them.
    assert metadata.agentic_rag[0].model_extra == {"rag_id": "r1"}
    assert metadata.everline == EVERLINE
    assert job_ref(Job(metadata=text)).attempt == 3


def test_everline_can_be_told_of_a_fault_in_what_a_newer_one_sends() -> None:
    broken = json.loads(TEXT) | {"prompt": 7}
    broken["everline"]["region"] = "eu"
    with pytest.raises(MetadataFault) as fault:
        read_metadata(json.dumps(broken), "room")

    assert fault.value.everline == EVERLINE


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_metadata_makes_a_plain_agent(text: str) -> None:
    metadata = read_metadata(text, "room-7")

    assert metadata.everline is None
    assert metadata.session_id == "room-7"
    assert job_ref(Job(metadata=text)).attempt is None


def test_a_wrong_field_is_named_without_its_value_and_everline_can_be_told() -> None:
    broken = json.loads(TEXT) | {"engine": {"kind": ["secret"]}}
    with pytest.raises(MetadataFault, match=r"engine\.kind") as fault:
        read_metadata(json.dumps(broken), "room")

    assert fault.value.everline == EVERLINE
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"x"', '{"everline": 3}'])
def test_what_is_not_metadata_at_all_is_refused_and_has_no_attempt(text: str) -> None:
    with pytest.raises(MetadataFault) as fault:
        read_metadata(text, "room")

    assert fault.value.everline is None
    assert job_ref(Job(metadata=text)).attempt is None
