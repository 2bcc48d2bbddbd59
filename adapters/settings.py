"""Settings of each process, read from the environment; all faults are listed at once.

Names and defaults of the seed service are kept; docs/configuration.md has the whole table.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapters.prices import load_prices
from adapters.recordings import check_recordings_url
from domain.catalogs import ExtraModel, parse_extra_models
from domain.errors import InvalidInput
from domain.ids import ID_PATTERN
from domain.pricing import PriceTable
from domain.retention import MAX_DAYS
from domain.webhooks import MOST_RETRIES, USUAL_SCHEDULE

DEFAULT_AGENT_NAME = "local-test"
_HEADER_NAME = r"^[A-Za-z0-9-]+$"
_ORIGIN = r"https?://[^/\s,*]+"


class SettingsError(Exception):
    """The environment is incomplete or wrong; the message lists every fault."""


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    node_env: Literal["development", "production"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def development(self) -> bool:
        """Readable logs and detailed errors, as with the seed's `NODE_ENV`."""
        return self.node_env != "production"

    @classmethod
    def also_needed(cls) -> list[type["_Settings"]]:
        """Further settings that a choice made by this one requires."""
        return []


def _livekit_url(url: str) -> str:
    if not url.startswith(("ws://", "wss://", "http://", "https://")):
        raise ValueError("must start with wss://, ws://, https:// or http://")
    return url.rstrip("/")


class LiveKitSettings(_Settings):
    """How LiveKit is reached, and under which name agents are dispatched."""

    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: SecretStr
    agent_name: str | None = None
    livekit_agent_name: str | None = None

    @field_validator("livekit_url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        return _livekit_url(url)

    @model_validator(mode="after")
    def _one_agent_name(self) -> Self:
        names = {name for name in (self.agent_name, self.livekit_agent_name) if name}
        if len(names) > 1:
            raise ValueError(
                "AGENT_NAME and LIVEKIT_AGENT_NAME mean the same thing and are different:"
                f" {self.agent_name!r} and {self.livekit_agent_name!r}; set one of them"
            )
        return self

    @property
    def dispatch_name(self) -> str:
        """The agent name that is dispatched to and registered."""
        return self.agent_name or self.livekit_agent_name or DEFAULT_AGENT_NAME


class TemporalSettings(_Settings):
    """How Temporal is reached, and the keys that encrypt what it stores."""

    temporal_address: str = "localhost:7233"
    temporal_namespace: str = "default"
    temporal_task_queue: str = "everline"
    everline_encryption_keys: Annotated[dict[str, bytes], NoDecode] = Field(repr=False)
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
            keys[key_id] = key
        return keys


class ArchiveSettings(_Settings):
    """Where the archive is; without `MONGODB_URI` there is none."""

    mongodb_uri: SecretStr | None = None
    mongodb_database: str = "everline"
    everline_transcript_retention_days: int = Field(default=0, ge=0, le=MAX_DAYS)
    """How long transcripts are kept after the call, for orgs that have not chosen; 0: for ever."""
    everline_prices_file: Path | None = None
    """Prices of one's own, on top of those that are shipped."""

    @field_validator("everline_prices_file")
    @classmethod
    def _readable_prices(cls, file: Path | None) -> Path | None:
        try:
            load_prices(file)
        except InvalidInput as error:
            raise ValueError("; ".join(filter(None, (error.message, error.cure)))) from None
        return file

    @property
    def prices(self) -> PriceTable:
        """What models cost in this installation."""
        return load_prices(self.everline_prices_file)


class RecordingSettings(_Settings):
    """Where recordings of calls are kept; without it there are none."""

    everline_recordings_url: str | None = None
    """`file:///directory` or `s3://bucket/prefix`; credentials come from their own variables."""

    @field_validator("everline_recordings_url")
    @classmethod
    def _known_storage(cls, url: str | None) -> str | None:
        try:
            return None if url is None else check_recordings_url(url)
        except InvalidInput as error:
            raise ValueError(error.message) from None


class CallbackSettings(_Settings):
    """How agents reach the API, and the secret that signs their callback tokens."""

    everline_callback_secret: SecretStr = Field(min_length=32)
    port: int = Field(default=4000, ge=1, le=65_535)
    """The API's port; also where agents reach it if `EVERLINE_CALLBACK_URL` is not set."""
    everline_callback_url: str | None = None

    @property
    def callback_url(self) -> str:
        """Base URL of the API as agents reach it, without a trailing slash."""
        return (self.everline_callback_url or f"http://127.0.0.1:{self.port}").rstrip("/")


class PagosSettings(_Settings):
    """The Pagos authentication API, and how it is asked; docs/auth.md has the whole table."""

    pagos_api_url: str
    pagos_admin_token: SecretStr
    pagos_resolve_method: Literal["GET", "POST"] = "GET"
    pagos_resolve_path: str = Field(default="/api-keys/resolve", pattern="^/")
    pagos_key_header: str = Field(default="x-api-key", pattern=_HEADER_NAME)
    """Header that carries the key to resolve."""
    pagos_key_field: str | None = None
    """Field of a JSON body that carries the key instead of the header; needs POST."""
    pagos_token_header: str = Field(default="authorization", pattern=_HEADER_NAME)
    """Header that carries the admin token."""
    pagos_token_scheme: str = "Bearer"
    """The word before the admin token; `none` for the token alone."""
    pagos_org_field: str = "orgId"
    """Dotted path of the org in the answer, for instance `data.orgId`; likewise the next two."""
    pagos_user_field: str = "userId"
    pagos_admin_field: str = "isAdmin"
    pagos_unknown_key_statuses: Annotated[frozenset[int], NoDecode] = frozenset({401, 404})
    """Statuses by which Pagos says that it does not know the key, comma separated."""
    pagos_timeout_seconds: float = Field(default=3, gt=0, le=30)
    pagos_cache_seconds: float = Field(default=30, ge=0, le=300)
    """Life of a valid key's answer: after this long a revoked key stops working."""
    pagos_negative_cache_seconds: float = Field(default=5, ge=0, le=60)
    pagos_cache_size: int = Field(default=10_000, ge=1)
    pagos_breaker_failures: int = Field(default=5, ge=1)
    """Outages in a row after which Pagos is not asked for a while."""
    pagos_breaker_seconds: float = Field(default=10, gt=0, le=300)

    @field_validator("pagos_api_url")
    @classmethod
    def _http_url(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return url.rstrip("/")

    @field_validator("pagos_unknown_key_statuses", mode="before")
    @classmethod
    def _statuses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",")]
        if not all(word.isdecimal() and 400 <= int(word) < 500 for word in words):
            raise ValueError("must be statuses from 400 to 499, comma separated")
        return frozenset(int(word) for word in words)

    @model_validator(mode="after")
    def _body_needs_post(self) -> Self:
        if self.pagos_key_field and self.pagos_resolve_method != "POST":
            raise ValueError("PAGOS_KEY_FIELD needs PAGOS_RESOLVE_METHOD=POST")
        return self


class LocalKeySettings(_Settings):
    """Keys of this installation's own; the bootstrap key works without MongoDB."""

    everline_bootstrap_key_hash: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of the bootstrap API key, hexadecimal."""
    everline_bootstrap_org: str = Field(default="local", pattern=ID_PATTERN)


class WebhookSettings(_Settings):
    """Where webhooks to customers may go."""

    everline_webhooks_allow_private: bool = False
    """Also http and private addresses; for development."""


class DeliverySettings(WebhookSettings):
    """How webhooks are delivered, and when that is given up."""

    everline_webhooks_timeout_seconds: float = Field(default=15, gt=0, le=60)
    everline_webhooks_retry_seconds: Annotated[tuple[float, ...], NoDecode] = USUAL_SCHEDULE
    """Pauses before each further attempt, comma separated; after the last it is a dead letter."""
    everline_webhooks_disable_after_hours: float = Field(default=120, gt=0)
    """For how long an endpoint may fail without any success before it is disabled."""

    @field_validator("everline_webhooks_retry_seconds", mode="before")
    @classmethod
    def _pauses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            pauses = tuple(float(word) for word in value.split(","))
        except ValueError:
            pauses = ()
        if not pauses or len(pauses) > MOST_RETRIES or not all(0 < p <= 604_800 for p in pauses):
            raise ValueError(
                f"must be up to {MOST_RETRIES} numbers of seconds above 0, comma separated"
            )
        return pauses


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
    """Web pages that may call the API from a browser, comma separated; `*` for every page."""
    auth_provider: Literal["pagos", "local"] = "pagos"
    everline_max_sessions_per_org: int = Field(default=0, ge=0)
    """Open sessions that an org may have at the same time; 0 means any number."""
    everline_org_requests_per_second: float = Field(default=0, ge=0)
    """Requests of an org in the long run, in each API process; 0 means any number."""
    everline_org_request_burst: int = Field(default=100, ge=1)
    """Requests that an org may make at once after a pause."""
    everline_accept_unsigned_reports: bool = False
    """Whether agents that are not Everline's may hand in their report without a token."""
    everline_codec_secret: SecretStr | None = Field(default=None, min_length=16)
    """Secret part of the codec endpoint's path; without it there is no such endpoint."""
    temporal_ui_url: str | None = None
    livekit_webhook_api_key: str | None = None
    livekit_webhook_api_secret: SecretStr | None = None
    everline_livekit_public_url: str | None = None
    """Where callers reach LiveKit, if that is not where this process does."""
    everline_extra_models: Annotated[tuple[ExtraModel, ...], NoDecode] = ()
    """Models beside the catalog's: `[kind=]provider/model`, comma separated."""
    caller_token_seconds: int = Field(
        default=900, ge=30, validation_alias=AliasChoices("everline_caller_token_seconds")
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

    @field_validator("everline_livekit_public_url")
    @classmethod
    def _known_public_scheme(cls, url: str | None) -> str | None:
        return None if url is None else _livekit_url(url)

    @property
    def callers_livekit_url(self) -> str:
        """The URL that callers are given."""
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
    def also_needed(cls) -> list[type[_Settings]]:
        """The settings of the chosen `AUTH_PROVIDER`."""
        return [PagosSettings if _AuthChoice().auth_provider == "pagos" else LocalKeySettings]


class _AuthChoice(_Settings):
    auth_provider: str = "pagos"


class WorkerSettings(
    LiveKitSettings,
    TemporalSettings,
    ArchiveSettings,
    CallbackSettings,
    DeliverySettings,
    RecordingSettings,
):
    """The Temporal worker process."""

    everline_agent_silence_seconds: float = Field(default=6, ge=5)
    """How long an agent server may be silent before its calls are given to others. It is heard
    every two seconds, and a heartbeat may be repeated once."""

    summariser: Literal["extractive", "openai"] = "extractive"
    summariser_model: str = "gpt-4.1-mini"
    summariser_base_url: str | None = None

    @classmethod
    def also_needed(cls) -> list[type[_Settings]]:
        """The key of an OpenAI-compatible summariser, if that is chosen."""
        return [OpenAISettings] if _SummariserChoice().summariser == "openai" else []


class _SummariserChoice(_Settings):
    summariser: str = "extractive"


class OpenAISettings(_Settings):
    """The account at an OpenAI-compatible server."""

    openai_api_key: SecretStr
    openai_base_url: str | None = None


class ModelAccounts(_Settings):
    """Accounts at the providers of models, under the names that their plugins use.

    A provider without a key is reached through LiveKit Inference, if that can be used. Base URLs
    are for gateways and compatible servers of one's own.
    """

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_realtime_base_url: str | None = None
    """Where realtime models are, if not at `OPENAI_BASE_URL`: few compatible servers have them."""
    cartesia_api_key: SecretStr | None = None
    cartesia_base_url: str | None = None
    eleven_api_key: SecretStr | None = None
    eleven_base_url: str | None = None
    deepgram_api_key: SecretStr | None = None
    deepgram_base_url: str | None = None
    assemblyai_api_key: SecretStr | None = None
    assemblyai_base_url: str | None = None
    google_api_key: SecretStr | None = None
    google_gemini_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    groq_api_key: SecretStr | None = None
    groq_base_url: str | None = None
    xai_api_key: SecretStr | None = None
    xai_base_url: str | None = None
    ultravox_api_key: SecretStr | None = None
    ultravox_base_url: str | None = None
    livekit_inference_url: str | None = None
    livekit_inference_api_key: str | None = None
    livekit_inference_api_secret: SecretStr | None = None
    anam_api_key: SecretStr | None = None
    anam_api_url: str | None = None


class AgentSettings(LiveKitSettings, ModelAccounts, RecordingSettings):
    """The agent worker process."""

    everline_callback_url: str | None = None
    """Base URL of the API for heartbeats; a session's callbacks go where its metadata says."""
    everline_spool_dir: str = ".everline/spool"
    everline_egress: bool = False
    """Whether LiveKit's egress service records calls; where it cannot, the agent does."""
    everline_livekit_public_url: str | None = None
    """Where an avatar's provider reaches LiveKit, if that is not where this process does."""
    everline_allow_private_tool_urls: bool = False
    """Whether HTTP tools, MCP servers and knowledge bases may be at http and private addresses."""
    lyzr_api_url: str = "https://agent-prod.studio.lyzr.ai"
    lyzr_tool_path: str = Field(
        default="/v3/tools/{tool_source}/{tool_name}/execute",
        pattern=r"^/([^{}]|\{(tool_source|tool_name|action_name)\})*$",
    )
    """Where an action of `lyzr_tools` is called; `{…}` are fields of its entry."""
    lyzr_rag_url: str = "https://rag-prod.studio.lyzr.ai"
    """Base URL of `agentic_rag` entries that name none."""
    lyzr_rag_path: str = Field(
        default="/v3/rag/{rag_id}/retrieve/", pattern=r"^/([^{}]|\{rag_id\})*$"
    )
    everline_realtime_session_seconds: float | None = Field(default=None, ge=1)
    """Replace a connection to a realtime provider after this long; None: by provider."""
    max_jobs: int = Field(default=10, ge=1, validation_alias=AliasChoices("everline_max_jobs"))
    drain_seconds: int = Field(
        default=3600, ge=0, validation_alias=AliasChoices("everline_drain_seconds")
    )
    job_silence_seconds: float = Field(
        default=5, ge=2, validation_alias=AliasChoices("everline_job_silence_seconds")
    )
    """How long a job's event loop may be silent before the job is killed and replaced."""

    @property
    def inference_is_on(self) -> bool:
        """Whether LiveKit Inference can be used: by LiveKit Cloud's own account, or another."""
        own = self.livekit_inference_url or self.livekit_inference_api_key
        return bool(own) or ".livekit.cloud" in self.livekit_url


SettingsKind = TypeVar("SettingsKind", bound=_Settings)


def load(kind: type[SettingsKind]) -> SettingsKind:
    """Read the settings of one process from the environment (and `.env`).

    Raises:
        SettingsError: listing every missing and every wrong variable at once.
    """
    settings: SettingsKind | None = None
    faults: list[str] = []
    try:
        settings = kind()
    except ValidationError as error:
        faults += _faults(error)
    for needed in kind.also_needed():
        try:
            needed()
        except ValidationError as error:
            faults += _faults(error)
    if settings is None or faults:
        # Not chained: pydantic's own message would print the values, secrets among them.
        raise SettingsError("\n".join(["the environment is not complete:", *sorted(set(faults))]))
    return settings


def _faults(error: ValidationError) -> list[str]:
    return [_fault(item["loc"], item["type"], item["msg"]) for item in error.errors()]


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]).upper() if location else ""
    if kind == "missing":
        return f"  {name} is not set"
    text = message.removeprefix("Value error, ")
    return f"  {name}: {text}" if name else f"  {text}"
