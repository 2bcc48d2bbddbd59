"""Settings of more than one process: LiveKit, the archive, recordings, callbacks, webhooks."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from adapters.prices import load_prices
from adapters.recordings import check_recordings_url
from adapters.settings.base import EnvironmentSettings
from adapters.settings.values import LiveKitUrl, WebUrl
from domain.errors import InvalidInput
from domain.transcripts.pricing import PriceTable
from domain.transcripts.retention import MAX_DAYS
from domain.transcripts.transcript import TranscriptLimits
from domain.webhooks.deliveries import MOST_RETRIES, USUAL_SCHEDULE

DEFAULT_AGENT_NAME = "local-test"


class LiveKitSettings(EnvironmentSettings):
    """The LiveKit server, and the name under which agents are dispatched."""

    livekit_url: LiveKitUrl
    livekit_api_key: str
    livekit_api_secret: SecretStr
    agent_name: str | None = None
    livekit_agent_name: str | None = None

    @field_validator("livekit_agent_name")
    @classmethod
    def _one_agent_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        other = info.data.get("agent_name")
        if name and other and name != other:
            raise ValueError(
                "AGENT_NAME and LIVEKIT_AGENT_NAME mean the same thing and are different:"
                f" {other!r} and {name!r}; set one of them"
            )
        return name

    @property
    def dispatch_name(self) -> str:
        """The agent name for dispatches and registration."""
        return self.agent_name or self.livekit_agent_name or DEFAULT_AGENT_NAME


class ArchiveSettings(EnvironmentSettings):
    """The archive; without `MONGODB_URI` there is none."""

    mongodb_uri: SecretStr | None = None
    mongodb_database: str = Field(default="everline", pattern=r"^[^\s/\\.\"$*<>:|?]{1,63}$")
    everline_transcript_retention_days: int = Field(default=0, ge=0, le=MAX_DAYS)
    """How long transcripts are kept after the call, for orgs without a rule; 0: for ever."""
    everline_max_turns_per_session: int = Field(default=TranscriptLimits().turns, ge=0)
    """Turns that a session's transcript may have; 0 means no limit."""
    everline_max_turn_bytes_per_session: int = Field(default=TranscriptLimits().bytes, ge=0)
    """Bytes that the texts and metrics of a session's turns may have; 0 means no limit."""
    everline_prices_file: Path | None = None
    """Own prices, which override the shipped ones."""

    @field_validator("mongodb_uri")
    @classmethod
    def _mongodb_scheme(cls, uri: SecretStr | None) -> SecretStr | None:
        if uri and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must start with mongodb:// or mongodb+srv://")
        return uri

    @field_validator("everline_prices_file")
    @classmethod
    def _readable_prices(cls, file: Path | None) -> Path | None:
        try:
            load_prices(file)
        except InvalidInput as error:
            raise ValueError(error.in_full()) from None
        return file

    @property
    def transcript_limits(self) -> TranscriptLimits:
        """How much one session's transcript may hold."""
        return TranscriptLimits(
            self.everline_max_turns_per_session, self.everline_max_turn_bytes_per_session
        )

    @property
    def prices(self) -> PriceTable:
        """The model prices of this installation."""
        return load_prices(self.everline_prices_file)


class RecordingSettings(EnvironmentSettings):
    """The recording storage; without it, no recordings are made."""

    everline_recordings_url: str | None = None
    """`file:///directory` or `s3://bucket/prefix`; credentials come from their own variables."""

    @field_validator("everline_recordings_url")
    @classmethod
    def _known_storage(cls, url: str | None) -> str | None:
        try:
            return None if url is None else check_recordings_url(url)
        except InvalidInput as error:
            raise ValueError(error.message) from None


class CallbackSettings(EnvironmentSettings):
    """The API's address for agents, and the secret that signs their callback tokens."""

    everline_callback_secret: SecretStr = Field(min_length=32)
    port: int = Field(default=4000, ge=1, le=65_535)
    """The API's port; also where agents reach it if `EVERLINE_CALLBACK_URL` is not set."""
    everline_callback_url: WebUrl | None = None

    @property
    def callback_url(self) -> str:
        """Base URL of the API as agents reach it, without a trailing slash."""
        return self.everline_callback_url or f"http://127.0.0.1:{self.port}"


class WebhookSettings(EnvironmentSettings):
    """Allowed receivers of webhooks."""

    everline_webhooks_allow_private: bool = False
    """Also http and private addresses; for development."""


class DeliverySettings(WebhookSettings):
    """How webhooks are delivered, and when delivery is abandoned."""

    everline_webhooks_timeout_seconds: float = Field(default=15, gt=0, le=60)
    everline_webhooks_retry_seconds: Annotated[tuple[float, ...], NoDecode] = USUAL_SCHEDULE
    """Pauses before each further attempt, comma separated; after the last it is a dead letter."""
    everline_webhooks_disable_after_hours: float = Field(default=120, gt=0, le=8_760)
    """How long an endpoint may fail without a success before it is disabled."""

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
