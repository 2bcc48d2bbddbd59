"""The seed's tables of environment variables: names, defaults, and what is required at start."""

import os

import pytest

from adapters.settings import ApiSettings, SettingsError, load

REQUIRED = {
    "LIVEKIT_URL": "wss://livekit.test",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
    "PAGOS_API_URL": "https://pagos.test",
    "PAGOS_ADMIN_TOKEN": "token",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing but what is required, and no `.env`."""
    for name in list(os.environ):
        if name.startswith(("LIVEKIT", "EVERLINE", "MONGODB", "PAGOS", "AGENT", "AUTH", "TELEPH")):
            monkeypatch.delenv(name)
    for name in ("PORT", "NODE_ENV", "HOST", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", REQUIRED)
def test_required_crash_on_startup_if_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        load(ApiSettings)


def test_the_optional_ones_have_the_seeds_defaults() -> None:
    settings = load(ApiSettings)
    assert settings.port == 4000
    assert settings.node_env is None
    assert settings.dispatch_name == "local-test"
    assert settings.mongodb_uri is None
    assert settings.livekit_webhook_api_key is None, "same as LIVEKIT_API_KEY"
    assert settings.livekit_webhook_api_secret is None, "same as LIVEKIT_API_SECRET"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "4100"),
        ("NODE_ENV", "production"),
        ("AGENT_NAME", "front-desk"),
        ("MONGODB_URI", "mongodb://db.test"),
        ("MONGODB_DATABASE", "voice"),
        ("LIVEKIT_WEBHOOK_API_KEY", "hook"),
        ("LIVEKIT_WEBHOOK_API_SECRET", "hook-secret"),
    ],
)
def test_each_is_read_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    found = getattr(load(ApiSettings), name.lower())
    read = found.get_secret_value() if hasattr(found, "get_secret_value") else found
    assert str(read) == value


def test_node_env_chooses_between_development_and_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not load(ApiSettings).development, "unset means production"
    for chosen, development in (("production", False), ("development", True)):
        monkeypatch.setenv("NODE_ENV", chosen)
        assert load(ApiSettings).development is development


@pytest.mark.parametrize("name", ["AGENT_NAME", "LIVEKIT_AGENT_NAME"])
def test_the_agents_name_has_both_documents_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "front-desk")
    assert load(ApiSettings).dispatch_name == "front-desk"
