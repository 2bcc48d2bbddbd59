"""The configuration of an agent, and the metadata that reaches the agent worker.

`DispatchedConfig` is the allowlist: a field added there, and nowhere else, is validated by the API,
stored, sent in the dispatch metadata and understood by the agent worker. `AgentConfig` adds what is
only needed to resolve a configuration; `domain.metadata` adds what belongs to one dispatch.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_LLM = "openai/gpt-4.1-mini"
"""The model of the pipeline when none is named; the same constant on both sides."""
DEFAULT_STT = "openai/gpt-4o-mini-transcribe"
DEFAULT_TTS = "openai/gpt-4o-mini-tts:ash"
DEFAULT_REALTIME = "openai/gpt-realtime"

SECRET: dict[str, Any] = {"secret": True}
"""Marks a field whose value is masked in every response and left out of every log."""


class ConfigModel(BaseModel):
    """Base of all configuration parts: unknown fields are refused, so that a typo is not silent."""

    model_config = ConfigDict(extra="forbid")


class EngineKind(StrEnum):
    """How the agent hears, thinks and speaks."""

    PIPELINE = "pipeline"
    REALTIME = "realtime"


class Engine(ConfigModel):
    """Models by descriptor, `provider/model[:voice]`.

    A realtime engine uses `llm` and `voice` alone; a pipeline uses `stt`, `llm` and `tts`.
    """

    kind: EngineKind = EngineKind.PIPELINE
    stt: str | None = None
    llm: str | None = None
    tts: str | None = None
    voice: str | None = None
    language: str | None = None


class NoiseCancellation(ConfigModel):
    """Noise cancellation on the caller's audio."""

    enabled: bool = False
    type: str | None = None


class ConversationStart(ConfigModel):
    """Who speaks first, and with which words."""

    who: Literal["human", "ai"] = "human"
    greeting: str | None = None


class ManagedAgent(ConfigModel):
    """An agent that the conversation can be handed to."""

    id: str
    name: str
    usage_description: str


class ManagedAgents(ConfigModel):
    """The agents that can be handed to; sent only if `enabled`."""

    enabled: bool = False
    agents: list[ManagedAgent] = []


class LyzrToolConfig(ConfigModel):
    """A tool of Lyzr's; its further fields are Lyzr's own."""

    model_config = ConfigDict(extra="allow")


class LyzrRag(ConfigModel):
    """A retrieval endpoint of Lyzr's."""

    base_url: str
    rag_id: str
    rag_name: str | None = None
    params: dict[str, Any] | None = None


class AgenticRagEntry(ConfigModel):
    """One source of agentic retrieval; its further fields are the source's own."""

    model_config = ConfigDict(extra="allow")


class KnowledgeBase(ConfigModel):
    """A knowledge base. If `enabled`, it gives the tool `search_knowledge_base` and its sources.

    One source of Lyzr's can be given as `lyzr_rag`, or flat as `base_url` and `rag_id`.
    """

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    lyzr_rag: LyzrRag | None = None
    agentic_rag: list[AgenticRagEntry] = []
    base_url: str | None = None
    rag_id: str | None = None
    rag_name: str | None = None
    params: dict[str, Any] | None = None


class BackgroundAudio(ConfigModel):
    """Sounds beside the conversation."""

    ambient: Any | None = None
    tool_call: Any | None = None
    turn_taking: Any | None = None


class Avatar(ConfigModel):
    """A video avatar that speaks for the agent."""

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    provider: str | None = None
    anam: dict[str, Any] | None = Field(default=None, json_schema_extra=SECRET)
    avatar_participant_name: str | None = None


class DispatchedConfig(ConfigModel):
    """The allowlist: exactly the configuration fields that reach the agent worker."""

    engine: Engine = Engine()
    prompt: str | None = Field(default=None, max_length=200_000)
    dynamic_variables: dict[str, str] = {}
    dynamic_variable_defaults: dict[str, str] = {}
    turn_detection: Literal["english", "multilingual"] | None = None
    noise_cancellation: NoiseCancellation | None = None
    conversation_start: ConversationStart | None = None
    agent_name: str | None = None
    agent_description: str | None = None
    tools: list[str] = []
    lyzr_tools: list[LyzrToolConfig] = []
    lyzr_rag: LyzrRag | None = None
    agentic_rag: list[AgenticRagEntry] = []
    vad_enabled: bool | None = None
    preemptive_generation: bool | None = None
    pronunciation_correction: bool | None = None
    pronunciation_rules: dict[str, str] = {}
    background_audio: BackgroundAudio | None = None
    avatar: Avatar | None = None


class AgentConfig(DispatchedConfig):
    """An agent as it is saved and given inline; resolved before a session starts."""

    api_key: Annotated[str | None, Field(repr=False, json_schema_extra=SECRET)] = None
    agent_id: str | None = None
    managed_agents: ManagedAgents | None = None
    knowledge_base: KnowledgeBase | None = None


class AgentConfigWithName(AgentConfig):
    """An agent as it is saved: it has a name."""

    agent_name: str = Field(min_length=1, max_length=200)  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower, and never assigned through the base


class ConfigWarning(BaseModel):
    """Something in a configuration that has another effect than it seems to have."""

    field: str
    reason: str
    cure: str | None = None
