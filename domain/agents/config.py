"""The configuration of an agent.

`DispatchedConfig` is the allowlist: a field that is added there, and only there, is validated by
the API, stored, sent in the dispatch metadata and read by the agent worker. `AgentConfig` adds what
is needed to resolve a configuration; `domain.sessions.dispatch_metadata` adds what belongs to one
dispatch.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.agents.call_policy import DurationWarning, RecoveryPolicy, SilencePolicy
from domain.agents.config_base import SECRET, ConfigModel
from domain.agents.sound_config import BackgroundAudio, NoiseCancellation
from domain.agents.tool_config import (
    AgenticRagEntry,
    HttpTool,
    KnowledgeBase,
    LyzrRag,
    LyzrToolConfig,
    ManagedAgents,
    McpServer,
    Transfer,
)
from domain.json_model import or_else
from domain.recordings.recording import Recording
from domain.transcripts.analysis import AnalysisPlan

DEFAULT_LLM = "openai/gpt-4.1-mini"
"""The pipeline's default model, both for the API and for the agent worker."""
DEFAULT_STT = "openai/gpt-4o-mini-transcribe"
DEFAULT_TTS = "openai/gpt-4o-mini-tts:ash"
DEFAULT_REALTIME = "openai/gpt-realtime"

MAX_FALLBACKS = 4
"""Fallback models per stage."""


class EngineKind(StrEnum):
    """How the agent hears, thinks and speaks."""

    PIPELINE = "pipeline"
    REALTIME = "realtime"


class Engine(ConfigModel):
    """Models by descriptor, `provider/model[:voice]`.

    A realtime engine uses only `llm` and `voice`. A pipeline uses `stt`, `llm` and `tts`, each with
    fallbacks that replace, in order, a model that cannot start or fails during the call.
    """

    kind: Annotated[EngineKind, or_else(EngineKind.PIPELINE)] = EngineKind.PIPELINE
    stt: str | None = None
    llm: str | None = None
    tts: str | None = None
    voice: str | None = None
    language: str | None = None
    stt_fallbacks: list[str] | None = Field(default=None, max_length=MAX_FALLBACKS)
    llm_fallbacks: list[str] | None = Field(default=None, max_length=MAX_FALLBACKS)
    tts_fallbacks: list[str] | None = Field(default=None, max_length=MAX_FALLBACKS)


class ConversationStart(ConfigModel):
    """Who speaks first, and the greeting."""

    who: Annotated[Literal["human", "ai"], or_else("human")] = "human"
    greeting: str | None = None


class Avatar(ConfigModel):
    """A video avatar that speaks for the agent."""

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    provider: str | None = None
    anam: dict[str, Any] | None = Field(default=None, json_schema_extra=SECRET)
    avatar_participant_name: str | None = None

    @property
    def anam_avatar_id(self) -> str | None:
        """The id of the avatar at Anam."""
        return self.anam_setting("avatarId", "avatar_id")

    def anam_setting(self, *names: str) -> str | None:
        """The first of these fields of `anam` that is set; callers name both of its spellings."""
        given = self.anam or {}
        return next((str(given[name]) for name in names if given.get(name)), None)


class DispatchedConfig(ConfigModel):
    """The allowlist of configuration fields that reach the agent worker."""

    engine: Engine = Engine()
    prompt: str | None = Field(default=None, max_length=200_000)
    dynamic_variables: dict[str, str] = {}
    dynamic_variable_defaults: dict[str, str] = {}
    turn_detection: Annotated[Literal["english", "multilingual"], or_else(None)] | None = None
    noise_cancellation: NoiseCancellation | None = None
    conversation_start: ConversationStart | None = None
    agent_name: str | None = None
    agent_description: str | None = None
    tools: list[str] = []
    lyzr_tools: list[LyzrToolConfig] = []
    lyzr_rag: LyzrRag | None = None
    agentic_rag: list[AgenticRagEntry] = []
    http_tools: list[HttpTool] = Field(default=[], max_length=64)
    mcp_servers: list[McpServer] = Field(default=[], max_length=16)
    transfer: Transfer | None = None
    time_zone: str | None = Field(default=None, max_length=64)
    """IANA name, for instance `Europe/Vienna`; the tool `current_time` uses it."""
    silence: SilencePolicy | None = None
    """Without it, the policy's defaults apply."""
    max_duration_warning: DurationWarning | None = None
    recovery: RecoveryPolicy | None = None
    """Without it, the policy's defaults apply."""
    vad_enabled: bool | None = None
    preemptive_generation: bool | None = None
    pronunciation_correction: bool | None = None
    pronunciation_rules: dict[str, str] = {}
    background_audio: BackgroundAudio | None = None
    avatar: Avatar | None = None
    recording: Recording | None = None


class AgentConfig(DispatchedConfig):
    """An agent as saved or given inline; resolved before a session starts."""

    api_key: Annotated[str | None, Field(repr=False, json_schema_extra=SECRET)] = None
    agent_id: str | None = None
    managed_agents: ManagedAgents | None = None
    knowledge_base: KnowledgeBase | None = None
    analysis: AnalysisPlan | None = None
    """How each call is analysed after it has ended."""


class AgentConfigWithName(AgentConfig):
    """An agent to save, which has a name."""

    agent_name: str = Field(min_length=1, max_length=200)  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower, and never assigned through the base


class ConfigWarning(BaseModel):
    """A part of a configuration that has another effect than it seems to have."""

    field: str
    reason: str
    cure: str | None = None
