"""Settings of the Temporal worker process."""

from typing import Literal, Self

from pydantic import Field, model_validator

from adapters.settings.base import Environment, EnvironmentSettings
from adapters.settings.parts import (
    ArchiveSettings,
    CallbackSettings,
    DeliverySettings,
    LiveKitSettings,
    RecordingSettings,
)
from adapters.settings.slots import SlotSettings
from adapters.settings.temporal import TemporalSettings
from adapters.settings.values import HeaderSecret, WebUrl


class WorkerSettings(
    LiveKitSettings,
    TemporalSettings,
    ArchiveSettings,
    CallbackSettings,
    DeliverySettings,
    RecordingSettings,
    SlotSettings,
):
    """The Temporal worker process."""

    everline_agent_silence_seconds: float = Field(default=6, ge=5, le=3_600)
    """How long an agent server may be silent before its calls move to others. Heartbeats come every
    two seconds, and one may be repeated once."""

    everline_remove_stray_agents: bool = False
    """Whether agents that no dispatch of a session has sent are removed from its room."""

    temporal_deployment_name: str = Field(default="", max_length=100)
    """Temporal's name of the deployment whose versions the releases of this worker are."""
    temporal_worker_build_id: str = Field(default="", max_length=100)
    """This release's version in that deployment. With both set, sessions stay on the release that
    they began on."""

    summariser: Literal["extractive", "openai"] = "extractive"
    summariser_model: str = "gpt-4.1-mini"
    summariser_base_url: WebUrl | None = None

    @model_validator(mode="after")
    def _versions_need_both(self) -> Self:
        if bool(self.temporal_deployment_name) != bool(self.temporal_worker_build_id):
            raise ValueError(
                "TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID belong together; "
                "set both or neither"
            )
        return self

    @classmethod
    def also_needed(cls) -> list[type[EnvironmentSettings]]:
        """The account of an OpenAI-compatible summariser, if that is chosen."""
        return [OpenAISettings] if _SummariserChoice().summariser == "openai" else []


class _SummariserChoice(Environment):
    summariser: str = "extractive"


class OpenAISettings(EnvironmentSettings):
    """The account at an OpenAI-compatible server."""

    openai_api_key: HeaderSecret
    openai_base_url: WebUrl | None = None
