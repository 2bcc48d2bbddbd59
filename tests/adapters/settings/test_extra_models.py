"""`EVERLINE_EXTRA_MODELS`, as the API process reads it."""

import pytest

from adapters.settings import ApiSettings, SettingsError, load
from domain.agents.catalogs import ExtraModel, ModelKind

ENVIRONMENT = {
    "LIVEKIT_URL": "wss://livekit.test",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
    "EVERLINE_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "EVERLINE_CALLBACK_SECRET": "s" * 32,
    "AUTH_PROVIDER": "local",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_entries_are_read(environment: pytest.MonkeyPatch) -> None:
    assert load(ApiSettings).everline_extra_models == ()
    environment.setenv("EVERLINE_EXTRA_MODELS", "openai/llama3.3, stt=acme/ears")

    assert load(ApiSettings).everline_extra_models == (
        ExtraModel(ModelKind.LLM, "openai", "llama3.3"),
        ExtraModel(ModelKind.STT, "acme", "ears"),
    )


def test_a_wrong_entry_stops_the_start_and_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EVERLINE_EXTRA_MODELS", "llama3.3")

    with pytest.raises(SettingsError, match=r"EVERLINE_EXTRA_MODELS: 'llama3.3' is not") as wrong:
        load(ApiSettings)
    assert "write provider/model" in str(wrong.value)
