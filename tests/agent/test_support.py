"""Fields without an effect are named, and only those that are set."""

from agent.support import without_effect
from domain.agent_config import Avatar, NoiseCancellation
from domain.metadata import DispatchMetadata


def test_a_plain_configuration_has_all_its_effects() -> None:
    off = DispatchMetadata(session_id="s", noise_cancellation=NoiseCancellation(), vad_enabled=True)

    assert without_effect(off) == []


def test_what_is_set_and_not_carried_out_is_named() -> None:
    config = DispatchMetadata(
        session_id="s", turn_detection="multilingual", avatar=Avatar(enabled=True)
    )

    assert without_effect(config) == ["turn_detection", "avatar"]
