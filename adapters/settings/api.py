"""Settings of the API process."""

import re
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from adapters.settings.accounts import LocalKeySettings, PagosSettings
from adapters.settings.base import Environment, EnvironmentSettings
from adapters.settings.parts import (
    ArchiveSettings,
    CallbackSettings,
    LiveKitSettings,
    RecordingSettings,
    WebhookSettings,
)
from adapters.settings.temporal import TemporalSettings
from adapters.settings.values import LiveKitUrl
from domain.agents.catalogs import ExtraModel, parse_extra_models
from domain.errors import InvalidInput

_ORIGIN = r"https?://[^/\s,*]+"
MAX_TOKEN_SECONDS = 30 * 86_400


class ApiSettings(
    LiveKitSettings,
    TemporalSettings,
    ArchiveSettings,
    CallbackSettings,
    WebhookSettings,
    RecordingSettings,
):
    """The API process."""

    host: str = "127.0.0.1"
    everline_cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins that may call the API from a browser, comma separated; `*` for all."""
    auth_provider: Literal["pagos", "local"] = "pagos"
    everline_max_sessions_per_org: int = Field(default=1_000, ge=0)
    """Concurrent open sessions per org; 0 means no limit."""
    everline_max_joins_per_org: int = Field(default=200, ge=0)
    """Sessions of an org that may wait for their agents at once; 0 means no limit."""
    everline_org_starts_per_second: float = Field(default=20, ge=0)
    """Sustained rate of starts per org and API process; 0 means no limit."""
    everline_org_start_burst: int = Field(default=200, ge=1)
    """Sessions that an org may start at once after a pause."""
    everline_org_requests_per_second: float = Field(default=0, ge=0)
    """Sustained request rate per org and API process; 0 means no limit."""
    everline_org_request_burst: int = Field(default=100, ge=1)
    """Requests that an org may send at once after a pause."""
    everline_event_streams_per_org: int = Field(default=200, ge=0)
    """Open event streams per org and API process; 0 means no limit."""
    everline_accept_unsigned_reports: bool = False
    """Whether external agents may send their report without a token."""
    everline_codec_secret: SecretStr | None = None
    """Secret part of the codec endpoint's path; without it the endpoint does not exist."""
    temporal_ui_url: str | None = None
    """Origin of the Temporal UI, which may call the codec endpoint."""
    livekit_webhook_api_key: str | None = None
    livekit_webhook_api_secret: SecretStr | None = None
    everline_livekit_public_url: LiveKitUrl | None = None
    """LiveKit's URL for callers, if it differs from this process's."""
    everline_extra_models: Annotated[tuple[ExtraModel, ...], NoDecode] = ()
    """Models in addition to the catalog: `[kind=]provider/model`, comma separated."""
    summariser: Literal["extractive", "openai"] | None = None
    """The worker's summariser, to warn of an analysis that it cannot do; None: no warnings."""
    everline_allow_private_tool_urls: bool = False
    """As for the agent worker, to warn of URLs that it does not call."""
    caller_token_seconds: int = Field(
        default=900,
        ge=30,
        le=MAX_TOKEN_SECONDS,
        validation_alias=AliasChoices("everline_caller_token_seconds"),
    )

    @field_validator("everline_cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(word.strip() for word in value.split(","))
        if any(one != "*" and not re.fullmatch(_ORIGIN, one) for one in origins):
            raise ValueError("must be origins such as https://app.example.com, comma separated")
        return origins

    @field_validator("everline_codec_secret")
    @classmethod
    def _path_segment(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and not re.fullmatch(r"[A-Za-z0-9_.~-]{16,}", secret.get_secret_value()):
            raise ValueError("must be at least 16 of the characters A-Z a-z 0-9 _ - . ~")
        return secret

    @field_validator("temporal_ui_url")
    @classmethod
    def _origin(cls, url: str | None) -> str | None:
        origin = url.rstrip("/") if url else None
        if origin and not re.fullmatch(_ORIGIN, origin):
            raise ValueError("must be an origin such as https://temporal.example.com")
        return origin

    @property
    def callers_livekit_url(self) -> str:
        """LiveKit's URL for callers."""
        return self.everline_livekit_public_url or self.livekit_url

    @field_validator("everline_extra_models", mode="before")
    @classmethod
    def _extra_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_extra_models(value)
        except InvalidInput as error:
            raise ValueError(f"{error.message}; {error.cure}") from None

    @classmethod
    def also_needed(cls) -> list[type[EnvironmentSettings]]:
        """The settings of the chosen `AUTH_PROVIDER`."""
        return [PagosSettings if _AuthChoice().auth_provider == "pagos" else LocalKeySettings]


class _AuthChoice(Environment):
    auth_provider: str = "pagos"
