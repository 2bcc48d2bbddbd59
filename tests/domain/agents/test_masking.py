"""Secrets are shown masked, and a mask that comes back stands for what is stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents.config import AgentConfig
from domain.agents.masking import MASK, masked, with_stored_secrets
from domain.errors import InvalidInput

STORED = AgentConfig.model_validate(
    {
        "api_key": "s-1",
        "avatar": {"enabled": True, "anam": {"apiKey": "s-2", "ids": ["s-3"]}},
        "lyzr_tools": [
            {"name": "crm", "auth_token": "s-4"},
            {"name": "mail", "headers": {"Authorization": "s-5"}},
        ],
        "lyzr_rag": {"base_url": "u", "rag_id": "r", "params": {"api_key": "s-6", "top_k": 3}},
    }
)


def test_every_secret_is_masked_and_nothing_else() -> None:
    shown = json.dumps(masked(STORED))

    assert "s-" not in shown
    assert shown.count(MASK) == 6
    assert '"crm"' in shown
    assert '"top_k": 3' in shown


def test_what_is_shown_can_be_sent_back_and_keeps_the_secrets() -> None:
    back = AgentConfig.model_validate(masked(STORED))

    assert with_stored_secrets(back, STORED) == STORED


def test_a_new_secret_replaces_the_stored_one() -> None:
    back = AgentConfig.model_validate(masked(STORED) | {"api_key": "new"})

    assert with_stored_secrets(back, STORED).api_key == "new"


def test_entries_keep_their_own_secret_when_they_are_moved_and_edited() -> None:
    shown = masked(STORED)
    crm, mail = shown["lyzr_tools"]
    back = AgentConfig.model_validate({"lyzr_tools": [mail, crm | {"description": "edited"}]})

    restored = with_stored_secrets(back, STORED).lyzr_tools

    assert [tool.model_extra for tool in restored] == [
        {"name": "mail", "headers": {"Authorization": "s-5"}},
        {"name": "crm", "auth_token": "s-4", "description": "edited"},
    ]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"api_key": MASK}, "api_key"),
        ({"lyzr_tools": [{"name": "other", "auth_token": MASK}]}, "lyzr_tools.0.auth_token"),
    ],
)
def test_a_mask_that_stands_for_nothing_is_refused(config: dict[str, object], field: str) -> None:
    given = AgentConfig.model_validate(config)
    for stored in (None, AgentConfig(prompt="no secrets")):
        with pytest.raises(InvalidInput) as refused:
            with_stored_secrets(given, stored)
        assert refused.value.field == field


def test_asterisks_elsewhere_are_only_asterisks() -> None:
    config = AgentConfig(prompt=MASK)
    assert with_stored_secrets(config, AgentConfig(prompt="other")) == config


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "token", "api_key", "id", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_entries = st.dictionaries(st.sampled_from(["x", "secret", "name"]), _values, max_size=3)


@given(st.lists(_entries, max_size=3, unique_by=lambda entry: str(entry.get("name"))))
def test_sending_back_what_was_shown_changes_nothing(entries: list[dict[str, object]]) -> None:
    for number, entry in enumerate(entries):
        entry["id"] = number
    stored = AgentConfig.model_validate({"agentic_rag": entries, "api_key": "s"})
    back = AgentConfig.model_validate_json(json.dumps(masked(stored)))

    assert with_stored_secrets(back, stored).model_dump() == stored.model_dump()


def test_of_entries_that_look_alike_none_is_guessed() -> None:
    stored = AgentConfig.model_validate({"lyzr_tools": [{"token": "s-1"}, {"token": "s-2"}]})
    one_left = AgentConfig.model_validate({"lyzr_tools": [{"token": MASK}]})
    with pytest.raises(InvalidInput, match="no stored secret") as refused:
        with_stored_secrets(one_left, stored)
    assert refused.value.field == "lyzr_tools.0.token"
    both = AgentConfig.model_validate({"lyzr_tools": [{"token": MASK}, {"token": MASK}]})
    assert with_stored_secrets(both, stored) == stored
