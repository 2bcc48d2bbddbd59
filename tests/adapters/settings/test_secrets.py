"""Secrets that are not set are derived from LiveKit's; own ones replace them without a loss."""

import base64
import time

import pytest
from structlog.testing import capture_logs
from temporalio.api.common.v1 import Payload

from adapters.settings import (
    ApiSettings,
    SettingsError,
    SharedSecrets,
    TemporalSettings,
    WorkerSettings,
    load,
    log_derived_secrets,
)
from adapters.settings.secrets import CallbackSecretSettings, EncryptionSettings
from adapters.temporal.encryption import CannotDecrypt, EncryptionCodec
from domain.errors import Unauthenticated
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from tests.adapters.settings.test_settings import environment

__all__ = ["environment"]

SEEDS_ALONE = {
    "LIVEKIT_URL": "wss://livekit.test",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "canary-livekit-secret",
    "PAGOS_API_URL": "https://pagos.test",
    "PAGOS_ADMIN_TOKEN": "token",
}
OWN = {
    "EVERLINE_ENCRYPTION_KEYS": "k1:" + base64.b64encode(b"1" * 32).decode(),
    "EVERLINE_CALLBACK_SECRET": "a-secret-of-our-own-with-40-characters--",
}
CLAIMS = CallbackClaims(
    org="acme", session_id="call-1", attempt=1, expires=int(time.time()) + 36_000
)


@pytest.fixture(autouse=True)
def seeds_alone(environment: pytest.MonkeyPatch) -> None:
    """The variables of the older backend, and no others."""
    put(environment, **SEEDS_ALONE)


def put(environment: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def token(settings: CallbackSecretSettings) -> str:
    """A callback token as the worker mints it."""
    return callback_token.mint(settings.callback_secrets[0], CLAIMS)


def accepts(settings: CallbackSecretSettings, minted: str) -> bool:
    """Whether the API takes the token."""
    first, *older = settings.callback_secrets
    try:
        return callback_token.verify(first, minted, time.time(), older) == CLAIMS
    except Unauthenticated:
        return False


async def encrypted(settings: EncryptionSettings) -> Payload:
    [payload] = await EncryptionCodec(settings.encryption_keys).encode([Payload(data=b"secret")])
    return payload


async def decrypted(settings: EncryptionSettings, payload: Payload) -> bytes:
    [plain] = await EncryptionCodec(settings.encryption_keys).decode([payload])
    return plain.data


async def test_every_process_derives_the_same() -> None:
    api, worker = load(ApiSettings), load(WorkerSettings)

    assert api.encryption_keys == worker.encryption_keys == load(TemporalSettings).encryption_keys
    assert api.callback_secrets == worker.callback_secrets
    assert await decrypted(api, await encrypted(worker)) == b"secret"
    assert accepts(api, token(worker))
    [key] = api.encryption_keys.values()
    [secret] = api.callback_secrets
    assert len(key) == 32
    assert key != base64.urlsafe_b64decode(secret), "each purpose has a secret of its own"
    assert "canary" not in f"{secret} {api.encryption_keys} {api!r}"


def test_derived_secrets_stay_the_same_from_release_to_release() -> None:
    """HKDF-SHA256 without salt; what an earlier release encrypted has to stay readable."""
    settings = load(SharedSecrets)

    assert settings.as_variables() == {
        "EVERLINE_ENCRYPTION_KEYS": "livekit-8ec501c5:NhhuJOvokc22iYkIO3FuRbrY+IQjH8P9GEfXXr+n7Lo=",
        "EVERLINE_CALLBACK_SECRET": "4PXyE6Gsi4DtuszJekr1oVZWto7bhZql8waFRmTELJM=",
    }


async def test_own_secrets_replace_derived_ones_and_nothing_is_lost(
    environment: pytest.MonkeyPatch,
) -> None:
    derived = load(WorkerSettings)
    stored, held = await encrypted(derived), token(derived)
    kept = load(SharedSecrets).as_variables()["EVERLINE_CALLBACK_SECRET"]
    put(environment, **OWN)

    own = load(ApiSettings)

    assert await decrypted(own, stored) == b"secret"
    # Whoever knows LiveKit's secret can make such a token for any org.
    assert not accepts(own, held)
    put(environment, EVERLINE_CALLBACK_SECRET=f"{OWN['EVERLINE_CALLBACK_SECRET']},{kept}")
    assert accepts(load(ApiSettings), held)
    assert next(iter(own.encryption_keys)) == "k1", "its own key encrypts"
    assert own.callback_secrets[0] == OWN["EVERLINE_CALLBACK_SECRET"]
    with pytest.raises(CannotDecrypt):
        await decrypted(derived, await encrypted(own))
    assert not accepts(derived, token(own))


async def test_a_rotated_livekit_secret_needs_the_derived_ones_as_settings(
    environment: pytest.MonkeyPatch,
) -> None:
    before = load(SharedSecrets)
    stored, held = await encrypted(before), token(before)
    environment.setenv("LIVEKIT_API_SECRET", "another")

    without = load(SharedSecrets)
    with pytest.raises(CannotDecrypt) as unknown:
        await decrypted(without, stored)
    assert "everline secrets" in (unknown.value.cure or "")
    assert not accepts(without, held)

    put(environment, **before.as_variables())
    kept = load(SharedSecrets)
    assert await decrypted(kept, stored) == b"secret"
    assert accepts(kept, held)
    assert next(iter(kept.encryption_keys)) == next(iter(before.encryption_keys))


def test_a_callback_secret_is_rotated(environment: pytest.MonkeyPatch) -> None:
    old = OWN["EVERLINE_CALLBACK_SECRET"]
    put(environment, EVERLINE_CALLBACK_SECRET=old)
    held = token(load(SharedSecrets))
    new = "n" * 32
    put(environment, EVERLINE_CALLBACK_SECRET=f"{new}, {old}")

    settings = load(SharedSecrets)

    assert settings.callback_secrets == (new, old)
    assert accepts(settings, held)
    assert accepts(settings, token(settings))
    put(environment, EVERLINE_CALLBACK_SECRET=new)
    assert not accepts(load(SharedSecrets), held)


@pytest.mark.parametrize("short", ["s" * 31, f"{'s' * 32},short", f"{'s' * 32},"])
def test_every_callback_secret_is_long_enough(environment: pytest.MonkeyPatch, short: str) -> None:
    put(environment, EVERLINE_CALLBACK_SECRET=short)

    with pytest.raises(SettingsError, match="EVERLINE_CALLBACK_SECRET: must have at least 32"):
        load(SharedSecrets)


@pytest.mark.parametrize("set_ones", [[], ["EVERLINE_CALLBACK_SECRET"], list(OWN)])
def test_one_note_says_which_are_derived_and_what_to_do(
    environment: pytest.MonkeyPatch, set_ones: list[str]
) -> None:
    put(environment, **{name: OWN[name] for name in set_ones})

    with capture_logs() as logs:
        log_derived_secrets(load(ApiSettings))

    missing = [name for name in OWN if name not in set_ones]
    assert [entry["not_set"] for entry in logs] == ([missing] if missing else [])
    assert all("everline secrets" in entry["cure"] for entry in logs)
