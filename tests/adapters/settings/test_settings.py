"""Settings: everything that is wrong is told at once, and no value of a secret is."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.mongo import MongoArchive
from adapters.settings import (
    AgentSettings,
    ApiSettings,
    LiveKitSettings,
    PagosSettings,
    SettingsError,
    TemporalSettings,
    WorkerSettings,
    load,
)
from adapters.settings.base import EnvironmentSettings
from domain.task_queues import DEFAULT_SLOTS, TaskKind
from domain.transcripts.transcript import TranscriptLimits

PREFIXES = ("LIVEKIT", "EVERLINE", "TEMPORAL", "MONGODB", "PAGOS", "OPENAI", "SUMMARISER")
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
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    for name in ("AUTH_PROVIDER", "AGENT_NAME", "PORT", "HOST", "NODE_ENV", "LOG_LEVEL"):
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
    assert "EVERLINE_CALLBACK_SECRET: must have at least 32 characters" in text
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
    ["k1", ":AAAA", "k1:AAAA", "k1:not base64", "k1:" + "A" * 44 + ",", "k1:" + "A" * 45],
)
def test_a_key_ring_that_is_none_is_refused(environment: pytest.MonkeyPatch, ring: str) -> None:
    _set(environment, EVERLINE_ENCRYPTION_KEYS=ring)

    with pytest.raises(SettingsError, match="EVERLINE_ENCRYPTION_KEYS"):
        load(TemporalSettings)


@pytest.mark.parametrize("name", ["TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"])
def test_a_deployment_needs_its_version_and_a_version_its_deployment(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    _set(environment, **{name: "everline"})

    with pytest.raises(SettingsError, match="set both or neither"):
        load(WorkerSettings)


def test_a_summariser_with_an_account_needs_its_key(environment: pytest.MonkeyPatch) -> None:
    _set(environment, SUMMARISER="openai")

    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        load(WorkerSettings)

    environment.setenv("OPENAI_API_KEY", "k")
    assert load(WorkerSettings).summariser_model == "gpt-4.1-mini"


@pytest.mark.parametrize(
    ("kind", "choice"),
    [(ApiSettings, {"AUTH_PROVIDER": "pagos"}), (WorkerSettings, {"SUMMARISER": "openai"})],
)
def test_a_wrong_value_hides_no_other_fault(
    environment: pytest.MonkeyPatch, kind: type[EnvironmentSettings], choice: dict[str, str]
) -> None:
    """Neither of what every process reads, nor of what several variables have to do together."""
    _set(
        environment,
        NODE_ENV="staging",
        LOG_LEVEL="loud",
        AGENT_NAME="one",
        LIVEKIT_AGENT_NAME="other",
        PAGOS_KEY_FIELD="key",
        **choice,
    )
    environment.delenv("LIVEKIT_API_KEY")

    with pytest.raises(SettingsError) as faults:
        load(kind)

    text = str(faults.value)
    for told in ("NODE_ENV: ", "LOG_LEVEL: ", "LIVEKIT_API_KEY is not set", "mean the same thing"):
        assert told in text
    chosen = {
        "pagos": ("PAGOS_API_URL is not set", "PAGOS_KEY_FIELD: needs PAGOS_RESOLVE_METHOD=POST"),
        "openai": ("OPENAI_API_KEY is not set",),
    }
    assert all(told in text for name in choice.values() for told in chosen[name])


PAGOS = {"AUTH_PROVIDER": "pagos", "PAGOS_API_URL": "https://p.test", "PAGOS_ADMIN_TOKEN": "t"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("PAGOS_API_URL", "https://"),
        ("PAGOS_API_URL", "https://p.test:99999"),
        ("PAGOS_API_URL", "https://p .test"),
        ("PAGOS_API_URL", "https://p.test/keys?x=1"),
        ("PAGOS_ADMIN_TOKEN", "canary-tökén"),
        ("PAGOS_ADMIN_TOKEN", "canary\ntoken"),
        ("PAGOS_ADMIN_TOKEN", " \n"),
        ("PAGOS_TOKEN_SCHEME", "Bearer token"),
        ("PAGOS_TOKEN_HEADER", "X-Api-Key"),
        ("PAGOS_RESOLVE_PATH", "//elsewhere.test/keys"),
        ("PAGOS_RESOLVE_PATH", "/keys of all"),
        ("PAGOS_ORG_FIELD", "data..org"),
        ("LIVEKIT_URL", "wss://"),
        ("LIVEKIT_URL", "ws://livekit.test:port"),
        ("TEMPORAL_ADDRESS", "temporal.test"),
        ("TEMPORAL_ADDRESS", "http://temporal.test:7233"),
        ("TEMPORAL_UI_URL", "temporal.test"),
        ("EVERLINE_CODEC_SECRET", "canary-short"),
        ("EVERLINE_CODEC_SECRET", "canary/of/several/segments"),
        ("EVERLINE_CODEC_SECRET", "{canary-any-segment}"),
        ("EVERLINE_CALLER_TOKEN_SECONDS", "999999999999"),
        ("EVERLINE_ORG_REQUESTS_PER_SECOND", "inf"),
        ("EVERLINE_CALLBACK_URL", "everline.test:4000"),
        ("MONGODB_URI", "localhost:27017"),
        ("MONGODB_DATABASE", "ever.line"),
    ],
)
def test_a_value_that_no_request_could_use_ends_the_start(
    environment: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    _set(environment, **PAGOS | {name: wrong})

    with pytest.raises(SettingsError) as faults:
        load(ApiSettings)

    [_, fault] = str(faults.value).splitlines()
    assert fault.strip().startswith(name)
    assert "canary" not in fault


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("EVERLINE_WEBHOOKS_DISABLE_AFTER_HOURS", "1e300"),
        ("EVERLINE_AGENT_SILENCE_SECONDS", "inf"),
        ("SUMMARISER_BASE_URL", "models.test/v1"),
        ("OPENAI_BASE_URL", "https://"),
        ("OPENAI_API_KEY", "kéy"),
        ("EVERLINE_WORKER_SLOTS", "joining"),
        ("EVERLINE_WORKER_SLOTS", "joining=many"),
        ("EVERLINE_WORKER_SLOTS", "dancing=3"),
        ("EVERLINE_WORKER_SLOTS", "joining=-1"),
        ("EVERLINE_WORKER_SLOTS", "joining=1e9"),
        ("EVERLINE_WORKER_SLOTS", ",".join(f"{kind}=0" for kind in TaskKind)),
        ("EVERLINE_ORG_SLOT_SHARE", "0"),
        ("EVERLINE_ORG_SLOT_SHARE", "1.5"),
    ],
)
def test_a_value_that_no_worker_could_use_ends_the_start(
    environment: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    _set(environment, **{"SUMMARISER": "openai", "OPENAI_API_KEY": "k", name: wrong})

    with pytest.raises(SettingsError, match=rf"  {name}: "):
        load(WorkerSettings)


def test_kinds_without_a_number_of_their_own_have_the_default_slots(
    environment: pytest.MonkeyPatch,
) -> None:
    _set(environment, EVERLINE_WORKER_SLOTS="joining=7, models=0")

    slots = load(WorkerSettings).slots

    assert slots == {**DEFAULT_SLOTS, TaskKind.JOINING: 7, TaskKind.MODELS: 0}


@pytest.mark.parametrize("process", ["api", "worker"])
def test_a_malformed_mongodb_uri_ends_the_start_without_its_password(
    process: str, tmp_path: Path
) -> None:
    """What the driver alone can tell is told like all other faults, also while Temporal is away."""
    uri = {"MONGODB_URI": "mongodb://user:canary@pass:word@host", "TEMPORAL_ADDRESS": "127.0.0.1:9"}

    ended = subprocess.run(
        [sys.executable, "-m", f"{process}.main"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **GOOD, **uri},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 1
    assert f"everline {process}: MONGODB_URI is not a MongoDB URI" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr


def test_space_around_a_value_does_not_count(environment: pytest.MonkeyPatch) -> None:
    """A secret that is mounted from a file often ends with a line break."""
    _set(environment, **PAGOS | {"PAGOS_ADMIN_TOKEN": "t\n", "LIVEKIT_API_SECRET": " s \n"})
    environment.setenv("TEMPORAL_UI_URL", "https://temporal.test/")

    settings = load(ApiSettings)

    assert load(PagosSettings).pagos_admin_token.get_secret_value() == "t"
    assert settings.livekit_api_secret.get_secret_value() == "s"
    assert settings.temporal_ui_url == "https://temporal.test", "as browsers name an origin"


def test_two_encryption_keys_with_one_id_are_refused(environment: pytest.MonkeyPatch) -> None:
    """What the first has encrypted, nobody could read."""
    new, old = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    _set(environment, EVERLINE_ENCRYPTION_KEYS=f"k1:{new},k1:{old}")

    with pytest.raises(SettingsError, match="two keys with the id 'k1'"):
        load(TemporalSettings)


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


@pytest.mark.parametrize("process", [ApiSettings, WorkerSettings])
def test_the_limits_of_a_transcript_can_be_set(
    environment: pytest.MonkeyPatch, process: type[ApiSettings | WorkerSettings]
) -> None:
    _set(environment)
    assert load(process).transcript_limits == TranscriptLimits()

    _set(
        environment,
        EVERLINE_MAX_TURNS_PER_SESSION="5",
        EVERLINE_MAX_TURN_BYTES_PER_SESSION="0",
        MONGODB_URI="mongodb://127.0.0.1:1",
    )
    settings = load(process)

    assert settings.transcript_limits == TranscriptLimits(turns=5, bytes=0)
    archive = MongoArchive.of(settings)
    assert archive is not None
    assert archive.transcripts.limits == settings.transcript_limits
    archive.close()
