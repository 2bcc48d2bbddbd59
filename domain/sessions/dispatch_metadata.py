"""The dispatch metadata: the contract between Everline and the agent worker."""

from pydantic import ConfigDict, Field

from domain.agents.config import AgentConfig, DispatchedConfig
from domain.agents.config_base import SECRET, ConfigModel
from domain.agents.tool_config import ManagedAgent
from domain.ids import SessionKey

MAX_METADATA_BYTES = 512 * 1024
"""LiveKit refuses a dispatch with more."""
MAX_CONFIG_BYTES = MAX_METADATA_BYTES - 16 * 1024
"""The rest is for what each dispatch adds."""


class EverlineMetadata(ConfigModel):
    """What the agent worker needs to take part in a durable session."""

    org: str
    attempt: int = Field(ge=1)
    callback_url: str
    """Base URL of the API, without a trailing slash."""
    callback_token: str = Field(repr=False, json_schema_extra=SECRET)
    caller_identity: str | None = None
    max_duration: float | None = None
    """Seconds from the join until the session ends the call."""
    unanswered: bool = False
    """Whether the caller had spoken to a lost agent, and it had not begun to answer."""
    undelivered_turn: str | None = None
    """Item id of a lost agent's last turn, if its agent server still had to deliver that."""


class DispatchMetadata(DispatchedConfig):
    """All that an agent gets to know, as JSON in `job.metadata`; names as in the older backend.

    Fields that a newer Everline adds are ignored by an older agent worker.
    """

    model_config = ConfigDict(extra="ignore")

    apiKey: str | None = Field(default=None, repr=False, json_schema_extra=SECRET)
    agentId: str | None = None
    managed_agents: list[ManagedAgent] | None = None
    user_id: str | None = None
    session_id: str
    model: str | None = None
    """The language model of `engine`, if the start named a model or a voice; likewise `voice`."""
    voice: str | None = None
    everline: EverlineMetadata | None = None


def dispatch_metadata(
    config: AgentConfig,
    key: SessionKey,
    user_id: str | None,
    everline: EverlineMetadata,
    *,
    model: str | None = None,
    voice: str | None = None,
) -> DispatchMetadata:
    """Project a resolved configuration onto the allowlist, for one attempt of one session."""
    projected = agent_metadata(config, key.session_id)
    return projected.model_copy(
        update={"user_id": user_id, "model": model, "voice": voice, "everline": everline}
    )


def agent_metadata(config: AgentConfig, session_id: str) -> DispatchMetadata:
    """Project a resolved configuration onto the allowlist, whoever calls and whichever attempt."""
    allowed = {name: getattr(config, name) for name in DispatchedConfig.model_fields}
    managed = config.managed_agents
    return DispatchMetadata(
        **allowed,
        apiKey=config.api_key,
        agentId=config.agent_id,
        managed_agents=managed.agents if managed and managed.enabled else None,
        session_id=session_id,
    )
