"""Secrets that API and worker share; unset ones are derived from LiveKit's secret.

HKDF-SHA256, so that all processes with the same `LIVEKIT_API_SECRET` derive the same ones.
docs/reference/environment.md says what that means, and how to replace them.
"""

import base64
import binascii
from typing import Annotated

import structlog
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from adapters.settings.base import EnvironmentSettings

log = structlog.get_logger()

DERIVED_KEY_PREFIX = "livekit-"
"""How the id of a derived encryption key begins; the rest tells LiveKit's secrets apart."""
OWN_SECRETS = (
    "set secrets of your own in EVERLINE_ENCRYPTION_KEYS and EVERLINE_CALLBACK_SECRET, the same for"
    " the API and the worker; what the derived ones protect stays readable. Before"
    " LIVEKIT_API_SECRET changes, keep the derived ones with `everline secrets`"
    " (docs/reference/environment.md, Secrets)"
)
"""How to replace derived secrets."""
SHORTEST_CALLBACK_SECRET = 32


class LiveKitSecret(EnvironmentSettings):
    """LiveKit's secret, and what is derived from it."""

    livekit_api_secret: SecretStr

    def _derive(self, purpose: str, length: int = 32) -> bytes:
        info = f"everline/1/{purpose}".encode()
        hkdf = HKDF(algorithm=SHA256(), length=length, salt=None, info=info)
        return hkdf.derive(self.livekit_api_secret.get_secret_value().encode())


class EncryptionSettings(LiveKitSecret):
    """The keys that encrypt what Temporal stores, and secrets in MongoDB."""

    everline_encryption_keys: Annotated[dict[str, bytes], NoDecode] = Field(
        default_factory=dict[str, bytes], repr=False
    )
    """`id:base64` pairs, comma separated, 32 bytes each; the first encrypts, all decrypt."""

    @field_validator("everline_encryption_keys", mode="before")
    @classmethod
    def _keyring(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys: dict[str, bytes] = {}
        for pair in value.split(","):
            key_id, separator, encoded = pair.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not separator or not key_id or len(key) != 32:
                raise ValueError("must be id:base64 pairs of 32 bytes each, comma separated")
            if key_id in keys:
                raise ValueError(f"must not have two keys with the id {key_id!r}")
            keys[key_id] = key
        return keys

    @property
    def encryption_keys(self) -> dict[str, bytes]:
        """All keys by id: the first encrypts, all decrypt.

        The derived key is the last one even if others are set, because older data may need it.
        """
        derived = DERIVED_KEY_PREFIX + self._derive("encryption-key-id", 4).hex()
        keys = dict(self.everline_encryption_keys)
        keys.setdefault(derived, self._derive("encryption-key"))
        return keys


class CallbackSecretSettings(LiveKitSecret):
    """The secret that signs the agents' callback tokens."""

    everline_callback_secret: SecretStr | None = None
    """At least 32 characters; several, comma separated, while one is replaced: the first signs."""

    @field_validator("everline_callback_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and any(len(one) < SHORTEST_CALLBACK_SECRET for one in _listed(secret)):
            raise ValueError(
                f"must have at least {SHORTEST_CALLBACK_SECRET} characters; if there are several,"
                " comma separated, each of them"
            )
        return secret

    @property
    def callback_secrets(self) -> tuple[str, ...]:
        """The first signs callback tokens, all verify them.

        Only without own ones it is derived: every agent worker knows LiveKit's secret, and could
        make tokens for every org with it.
        """
        if self.everline_callback_secret:
            return tuple(dict.fromkeys(_listed(self.everline_callback_secret)))
        return (base64.urlsafe_b64encode(self._derive("callback-secret")).decode(),)


class SharedSecrets(EncryptionSettings, CallbackSecretSettings):
    """The secrets alone, without anything else that the API and the worker need."""

    def as_variables(self) -> dict[str, str]:
        """The settings that keep all secrets in use, whatever becomes of LiveKit's."""
        keys = self.encryption_keys.items()
        pairs = [f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in keys]
        return {
            "EVERLINE_ENCRYPTION_KEYS": ",".join(pairs),
            "EVERLINE_CALLBACK_SECRET": ",".join(self.callback_secrets),
        }


def derived_secrets(settings: EnvironmentSettings) -> list[str]:
    """The variables of secrets that are not set, and are derived instead."""
    fields = ("everline_encryption_keys", "everline_callback_secret")
    return [name.upper() for name in fields if name not in settings.model_fields_set]


def log_derived_secrets(settings: EnvironmentSettings) -> None:
    """Log which secrets are derived from LiveKit's, and how to set own ones."""
    if derived := derived_secrets(settings):
        log.warning(
            "secrets are derived from LIVEKIT_API_SECRET", not_set=derived, cure=OWN_SECRETS
        )


def _listed(secret: SecretStr) -> list[str]:
    return [one.strip() for one in secret.get_secret_value().split(",")]
