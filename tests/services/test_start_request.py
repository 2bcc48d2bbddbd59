"""A retry is told from another request by what was sent, to the last field."""

from typing import Any

import pytest

from domain.agent_config import AgentConfig
from services.start import StartRequest


def request(config: dict[str, Any] | None, **fields: Any) -> StartRequest:
    inline = None if config is None else AgentConfig.model_validate(config)
    return StartRequest(user_identity="caller", agent_config=inline, **fields)


def test_the_same_request_has_the_same_digest() -> None:
    config = {"tools": ["end_call"], "dynamic_variables": {"b": "2", "a": "1"}}
    turned = {"dynamic_variables": {"a": "1", "b": "2"}, "tools": ["end_call"]}

    assert request(config, agent_id="a").digest() == request(turned, agent_id="a").digest()


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
    assert request({"prompt": "p"}).digest() != other.digest()
