"""Settings of the agent worker process."""

from pydantic import AliasChoices, Field, SecretStr

from adapters.settings.base import EnvironmentSettings
from adapters.settings.parts import LiveKitSettings, RecordingSettings
from adapters.settings.values import WebUrl


class ModelAccounts(EnvironmentSettings):
    """Accounts at model providers, under the names that their plugins use.

    A provider without a key is reached through LiveKit Inference, if available. Base URLs are for
    gateways and compatible servers.
    """

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_realtime_base_url: str | None = None
    """URL of realtime models, if not `OPENAI_BASE_URL`: few compatible servers have them."""
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

    everline_callback_url: WebUrl | None = None
    """Base URL of the API for heartbeats; a session's callbacks go where its metadata says."""
    everline_spool_dir: str = ".everline/spool"
    everline_egress: bool = False
    """Whether LiveKit's egress service records calls; where it cannot, the agent does."""
    everline_livekit_public_url: str | None = None
    """LiveKit's URL for avatar providers, if it differs from this process's."""
    everline_allow_private_tool_urls: bool = False
    """Whether HTTP tools, MCP servers and knowledge bases may use http and private addresses."""
    lyzr_api_url: str = "https://agent-prod.studio.lyzr.ai"
    lyzr_tool_path: str = Field(
        default="/v3/tools/{tool_source}/{tool_name}/execute",
        pattern=r"^/([^{}]|\{(tool_source|tool_name|action_name)\})*$",
    )
    """Path of an action of `lyzr_tools`; `{…}` are fields of its entry."""
    lyzr_rag_url: str = "https://rag-prod.studio.lyzr.ai"
    """Base URL of `agentic_rag` entries without one."""
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
        """Whether LiveKit Inference is available: through LiveKit Cloud, or its own account."""
        own = self.livekit_inference_url or self.livekit_inference_api_key
        return bool(own) or ".livekit.cloud" in self.livekit_url
