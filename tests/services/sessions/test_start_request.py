"""A retry is told from another request by what was sent, to the last field."""

from typing import Any

import pytest

from domain.agents.config import AgentConfig
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
    ],
)
def test_another_one_has_another(other: StartRequest) -> None:
    assert request({"prompt": "p"}).digest("acme") != other.digest("acme")


def test_both_names_of_a_room_are_the_same_request() -> None:
    short, long = (StartRequest(user_identity="a", room_name=name) for name in ("r", "acme.r"))
    assert short.digest("acme") == long.digest("acme")
    assert short.digest("globex") != long.digest("globex"), "another org's room is another room"
