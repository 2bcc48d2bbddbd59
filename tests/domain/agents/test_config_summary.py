"""What logs say of a configuration: its form, none of its words."""

from domain.agents.config import AgentConfig
from domain.agents.config_summary import config_summary
from tests.domain.agents.test_allowlist import EVERYTHING


def test_nothing_that_somebody_wrote_is_in_it() -> None:
    secret = "canary-4711"
    config = AgentConfig.model_validate(
        {
            "prompt": secret,
            "api_key": secret,
            "dynamic_variables": {secret: secret},
            "conversation_start": {"who": "ai", "greeting": secret},
            "avatar": {"enabled": True, "anam": {"k": secret}, "more": secret},
            "lyzr_tools": [{"auth": secret}],
            "lyzr_rag": {"base_url": f"https://{secret}", "rag_id": "r-1"},
            "background_audio": {"ambient": secret},
            "agent_description": secret,
        }
    )
    summary = config_summary(config)

    assert secret not in str(summary)
    assert summary["prompt"] == "11 characters"
    assert summary["api_key"] == "set"
    assert summary["conversation_start"] == {"who": "ai", "greeting": "11 characters"}
    assert summary["lyzr_rag"]["rag_id"] == "r-1"


def test_every_field_that_is_set_is_in_it() -> None:
    summary = config_summary(AgentConfig.model_validate(EVERYTHING))

    assert set(summary) == set(EVERYTHING)
    assert summary["engine"] == {"kind": "pipeline", "llm": "openai/gpt-4.1-mini"}
    assert summary["tools"] == ["end_call"]
    assert config_summary(AgentConfig()) == {"engine": {"kind": "pipeline"}}
