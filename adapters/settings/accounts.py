"""API access: an account service (Pagos) or keys of this installation."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from adapters.settings.base import EnvironmentSettings
from adapters.settings.values import HeaderSecret, WebUrl
from domain.ids import ID_PATTERN

_HEADER_NAME = r"^[A-Za-z0-9-]+$"
_FIELD_PATH = r"^[^.\s]+(\.[^.\s]+)*$"


class PagosSettings(EnvironmentSettings):
    """The Pagos authentication API; docs/reference/auth.md explains each setting."""

    pagos_api_url: WebUrl
    pagos_admin_token: HeaderSecret
    pagos_resolve_method: Literal["GET", "POST"] = "GET"
    pagos_resolve_path: str = Field(default="/api-keys/resolve", pattern="^/([!-.0-~][!-~]*)?$")
    pagos_key_header: str = Field(default="x-api-key", pattern=_HEADER_NAME)
    """Header that carries the key to resolve."""
    pagos_key_field: str | None = None
    """Field of a JSON body that carries the key instead of the header; needs POST."""
    pagos_token_header: str = Field(default="authorization", pattern=_HEADER_NAME)
    """Header that carries the admin token."""
    pagos_token_scheme: str = Field(default="Bearer", pattern="^[!-~]+$")
    """The word before the admin token; `none` for the token alone."""
    pagos_org_field: str = Field(default="orgId", pattern=_FIELD_PATH)
    """Dotted path of the org in the answer, for example `data.orgId`; likewise the next two."""
    pagos_user_field: str = Field(default="userId", pattern=_FIELD_PATH)
    pagos_admin_field: str = Field(default="isAdmin", pattern=_FIELD_PATH)
    pagos_unknown_key_statuses: Annotated[frozenset[int], NoDecode] = frozenset({401, 404})
    """Statuses with which Pagos answers for an unknown key, comma separated."""
    pagos_timeout_seconds: float = Field(default=3, gt=0, le=30)
    pagos_cache_seconds: float = Field(default=30, ge=0, le=300)
    """Life of a valid key's answer: after this long a revoked key stops working."""
    pagos_negative_cache_seconds: float = Field(default=5, ge=0, le=60)
    pagos_cache_size: int = Field(default=10_000, ge=1)
    pagos_breaker_failures: int = Field(default=5, ge=1)
    """Failures in a row after which Pagos is not called for a while."""
    pagos_breaker_seconds: float = Field(default=10, gt=0, le=300)

    @field_validator("pagos_key_field")
    @classmethod
    def _body_needs_post(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name and info.data.get("pagos_resolve_method") != "POST":
            raise ValueError("needs PAGOS_RESOLVE_METHOD=POST")
        return name

    @field_validator("pagos_token_header")
    @classmethod
    def _another_than_the_keys(cls, name: str, info: ValidationInfo) -> str:
        key_header = str(info.data.get("pagos_key_header"))
        if name.lower() == key_header.lower() and not info.data.get("pagos_key_field"):
            raise ValueError("must differ from PAGOS_KEY_HEADER")
        return name

    @field_validator("pagos_unknown_key_statuses", mode="before")
    @classmethod
    def _statuses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",")]
        if not all(word.isdecimal() and 400 <= int(word) < 500 for word in words):
            raise ValueError("must be statuses from 400 to 499, comma separated")
        return frozenset(int(word) for word in words)


class LocalKeySettings(EnvironmentSettings):
    """Keys of this installation; the bootstrap key works without MongoDB."""

    everline_bootstrap_key_hash: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of the bootstrap API key, hexadecimal."""
    everline_bootstrap_org: str = Field(default="local", pattern=ID_PATTERN)
