"""A retry is told from another request by what was sent, to the last field."""

from typing import Any

import pytest

from domain.agents.config import AgentConfig
from domain.sessions.session import GivenLimits
from services.sessions.start import StartRequest


def request(config: dict[str, Any] | None, **fields: Any) -> StartRequest:
    inline = None if config is None else AgentConfig.model_validate(config)
    return StartRequest(user_identity="caller", agent_config=inline, **fields)


def test_the_same_request_has_the_same_digest() -> None:
    config = {"tools": ["end_call"], "dynamic_variables": {"b": "2", "a": "1"}}
    turned = {"dynamic_variables": {"a": "1", "b": "2"}, "tools": ["end_call"]}

    assert request(config, agent_id="a").digest("acme") == request(turned, agent_id="a").digest(
        "acme"
    )


@pytest.mark.parametrize(
    "other",
    [
        request({"prompt": "p", "tools": []}),
        request({"prompt": "q"}),
        request(None),
        request({"prompt": "p"}, agent_id="a"),
        request({"prompt": "p"}, voice="alloy"),
        request({"prompt": "p"}, metadata={"order": "42"}),
    ],
)
def test_another_one_has_another(other: StartRequest) -> None:
    assert request({"prompt": "p"}).digest("acme") != other.digest("acme")


def test_both_names_of_a_room_are_the_same_request() -> None:
    short, long = (StartRequest(user_identity="a", room_name=name) for name in ("r", "acme.r"))
    assert short.digest("acme") == long.digest("acme")
    assert short.digest("globex") != long.digest("globex"), "another org's room is another room"


def test_a_retry_to_a_newer_release_is_the_same_request() -> None:
    """The digest is release 0.1's of this request."""
    limits = GivenLimits(max_duration=60)
    retry = StartRequest(user_identity="ann", session_id="s-1", limits=limits)
    other = retry.model_copy(
        update={"limits": GivenLimits(max_duration=60, caller_hangup_return=5)}
    )

    assert retry.digest("acme") == (
        "54290f723c764416e6c488d3206fd14a406ed8efeef121aa706a37c22b46edee"
    )
    assert other.digest("acme") != retry.digest("acme")
