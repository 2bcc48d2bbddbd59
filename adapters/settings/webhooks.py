"""Webhooks to customers."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from adapters.settings.base import EnvironmentSettings
from domain.webhooks.deliveries import MOST_RETRIES, USUAL_SCHEDULE


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
