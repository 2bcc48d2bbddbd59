"""Settings: everything that is wrong is told at once, and no value of a secret is."""

import base64
import os

import pytest
from pydantic import SecretStr

from adapters.settings import (
    AgentSettings,
    ApiSettings,
    LiveKitSettings,
    SettingsError,
    TemporalSettings,
    WorkerSettings,
    load,
)

GOOD = {
    "LIVEKIT_URL": "wss://livekit.test/",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "canary-livekit-secret",
    "EVERLINE_ENCRYPTION_KEYS": "k1:" + base64.b64encode(bytes(32)).decode(),
    "EVERLINE_CALLBACK_SECRET": "canary-callback-secret-of-32-characters",
    "AUTH_PROVIDER": "local",
    "EVERLINE_BOOTSTRAP_KEY_HASH": "0" * 64,
}


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.MonkeyPatch:
    """An environment with nothing of ours in it, and no `.env` beside."""
    for name in list(os.environ):
        if name.startswith(("LIVEKIT", "EVERLINE", "TEMPORAL", "MONGODB", "PAGOS", "OPENAI")):
            monkeypatch.delenv(name)
    for name in ("AUTH_PROVIDER", "AGENT_NAME", "PORT", "HOST", "NODE_ENV", "SUMMARISER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    return monkeypatch


def _set(environment: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in {**GOOD, **values}.items():
        environment.setenv(name, value)


def test_everything_that_is_missing_is_listed_at_once(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as faults:
        load(ApiSettings)

    lines = str(faults.value).splitlines()
    for name in (
        "LIVEKIT_URL",
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "EVERLINE_ENCRYPTION_KEYS",
        "EVERLINE_CALLBACK_SECRET",
        "PAGOS_API_URL",
        "PAGOS_ADMIN_TOKEN",
    ):
        assert f"  {name} is not set" in lines, "the default of AUTH_PROVIDER is pagos, as ever"


def test_missing_and_wrong_values_are_told_together_without_secrets(
    environment: pytest.MonkeyPatch,
) -> None:
    _set(
        environment,
        LIVEKIT_URL="livekit.test",
        EVERLINE_ENCRYPTION_KEYS="k1:canary-key",
        EVERLINE_CALLBACK_SECRET="canary-short",
        PORT="70000",
    )
    environment.delenv("LIVEKIT_API_KEY")

    with pytest.raises(SettingsError) as faults:
        load(ApiSettings)

    text = str(faults.value)
    assert "LIVEKIT_API_KEY is not set" in text
    assert "LIVEKIT_URL: must start with wss://" in text
    assert "EVERLINE_ENCRYPTION_KEYS: must be id:base64 pairs of 32 bytes" in text
    assert "EVERLINE_CALLBACK_SECRET" in text
    assert "PORT" in text
    assert "canary" not in text


def test_a_complete_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    _set(environment)

    settings = load(ApiSettings)

    assert settings.livekit_url == "wss://livekit.test"
    assert settings.port == 4000
    assert settings.temporal_address == "localhost:7233"
    assert settings.mongodb_uri is None
    assert settings.callback_url == "http://127.0.0.1:4000"
    assert "canary" not in repr(settings)


def test_an_empty_variable_counts_as_not_set(environment: pytest.MonkeyPatch) -> None:
    _set(environment, LIVEKIT_API_KEY="", MONGODB_URI="")

    with pytest.raises(SettingsError, match="LIVEKIT_API_KEY is not set"):
        load(WorkerSettings)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "local-test"),
        ({"AGENT_NAME": "mine"}, "mine"),
        ({"LIVEKIT_AGENT_NAME": "mine"}, "mine"),
        ({"AGENT_NAME": "mine", "LIVEKIT_AGENT_NAME": "mine"}, "mine"),
    ],
)
def test_both_names_of_the_agent_name_mean_the_same(
    environment: pytest.MonkeyPatch, given: dict[str, str], name: str
) -> None:
    _set(environment, **given)

    assert load(LiveKitSettings).dispatch_name == name
    assert load(AgentSettings).dispatch_name == name


def test_two_different_agent_names_are_an_error(environment: pytest.MonkeyPatch) -> None:
    _set(environment, AGENT_NAME="one", LIVEKIT_AGENT_NAME="other")

    for kind in (ApiSettings, WorkerSettings, AgentSettings):
        with pytest.raises(SettingsError, match="AGENT_NAME and LIVEKIT_AGENT_NAME mean the same"):
            load(kind)


def test_the_first_key_of_the_ring_encrypts(environment: pytest.MonkeyPatch) -> None:
    new, old = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    _set(environment, EVERLINE_ENCRYPTION_KEYS=f"new:{new}, old:{old}")

    ring = load(TemporalSettings).everline_encryption_keys

    assert list(ring) == ["new", "old"]
    assert ring["old"] == bytes([2]) * 32


@pytest.mark.parametrize(
    "ring",
    ["", "k1", ":AAAA", "k1:AAAA", "k1:not base64", "k1:" + "A" * 44 + ",", "k1:" + "A" * 45],
)
def test_a_key_ring_that_is_none_is_refused(environment: pytest.MonkeyPatch, ring: str) -> None:
    _set(environment, EVERLINE_ENCRYPTION_KEYS=ring)

    with pytest.raises(SettingsError, match="EVERLINE_ENCRYPTION_KEYS"):
        load(TemporalSettings)


def test_a_summariser_with_an_account_needs_its_key(environment: pytest.MonkeyPatch) -> None:
    _set(environment, SUMMARISER="openai")

    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        load(WorkerSettings)

    environment.setenv("OPENAI_API_KEY", "k")
    assert load(WorkerSettings).summariser_model == "gpt-4.1-mini"


def test_a_variable_that_is_given_in_code_wins(environment: pytest.MonkeyPatch) -> None:
    _set(environment)

    given = LiveKitSettings(
        livekit_url="ws://other.test", livekit_api_key="k", livekit_api_secret=SecretStr("s")
    )

    assert given.livekit_url == "ws://other.test"


def test_the_pauses_between_webhook_attempts(environment: pytest.MonkeyPatch) -> None:
    _set(environment)
    assert len(load(WorkerSettings).everline_webhooks_retry_seconds) == 9

    _set(environment, EVERLINE_WEBHOOKS_RETRY_SECONDS="1, 2.5,60")
    assert load(WorkerSettings).everline_webhooks_retry_seconds == (1, 2.5, 60)

    for wrong in ("soon", "5,0", "1e9", ",".join(["5"] * 31)):
        _set(environment, EVERLINE_WEBHOOKS_RETRY_SECONDS=wrong)
        with pytest.raises(SettingsError, match="EVERLINE_WEBHOOKS_RETRY_SECONDS: must be"):
            load(WorkerSettings)
