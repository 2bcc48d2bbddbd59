"""What an agent brings to a call beside its engine: tools, and agents that it can hand over to."""
# The SDK leaves the types of models and of a session's user data open:
# pyright: reportUnknownMemberType=false

import asyncio
from typing import Any

import httpx
import structlog
from livekit.agents import NOT_GIVEN, Agent, AgentSession, JobContext, llm
from livekit.agents.vad import VAD

from adapters.outbound import outbound_client
from adapters.settings import AgentSettings
from agent.callbacks import CallbackClient, CallbackError, tls_context
from agent.ending import Ending
from agent.engines import (
    EngineFault,
    EngineInputs,
    EngineParts,
    build_engine,
    load_engine_plugins,
)
from agent.prompt import words
from agent.tools import AnyTool, ToolInputs, agent_tools
from agent.tools.hand_off import CannotHandOff
from domain.metadata import DispatchMetadata

log = structlog.stdlib.get_logger(__name__)

LOAD_SECONDS = 8.0
"""How long the caller waits for the agent that takes over; then the present one goes on."""


class SucceedingAgent(Agent):
    """An agent that was handed the conversation: it answers at once."""

    def __init__(
        self,
        config: DispatchMetadata,
        instructions: str,
        chat_ctx: llm.ChatContext,
        tools: list[AnyTool],
        parts: EngineParts | None,
    ) -> None:
        super().__init__(
            id=config.agentId or "successor",
            instructions=instructions,
            chat_ctx=chat_ctx,
            tools=tools,
            stt=(parts.stt if parts else None) or NOT_GIVEN,
            llm=parts.llm if parts else NOT_GIVEN,
            tts=(parts.tts if parts else None) or NOT_GIVEN,
        )

    async def on_enter(self) -> None:
        """Go on with the conversation, without another greeting."""
        self.session.generate_reply()


class Equipment:
    """The tools of the agents of one call.

    Args:
        ctx: the job.
        metadata: the configuration that the call began with.
        settings: the agent worker's.
        vad: voice activity detection, shared by the engines of the call.
        ending: where tools say why the call ends.
        client: the callback API; None for a plain agent.
        session: the conversation.
    """

    def __init__(
        self,
        ctx: JobContext,
        metadata: DispatchMetadata,
        settings: AgentSettings,
        vad: VAD,
        ending: Ending,
        client: CallbackClient | None,
        session: AgentSession[None],
    ) -> None:
        self._ctx = ctx
        self._metadata = metadata
        self._settings = settings
        self._vad = vad
        self._ending = ending
        self._client = client
        self._session = session
        self._web = outbound_client(
            allow_private=settings.everline_allow_private_tool_urls,
            timeout=httpx.Timeout(10.0),
            tls=tls_context(),
        )

    def tools(self) -> list[AnyTool]:
        """The tools of the agent that begins the call."""
        return self._tools(self._metadata)

    async def aclose(self) -> None:
        """Close the connections of the tools."""
        await self._web.aclose()

    def _tools(self, config: DispatchMetadata) -> list[AnyTool]:
        return agent_tools(
            ToolInputs(
                config=config,
                settings=self._settings,
                ending=self._ending,
                room=self._ctx.room,
                livekit=lambda: self._ctx.api,
                web=self._web,
                hand_off=self._successor if self._client else None,
            )
        )

    async def _successor(self, agent_id: str) -> Agent:
        """The saved agent of this id, ready to take over; see `agent.tools.inputs.HandOff`."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                config = await self._load(agent_id)
                parts = await self._engine(config)
        except (CallbackError, EngineFault, TimeoutError) as error:
            raise CannotHandOff(str(error) or type(error).__name__) from error
        spoken = words(config)
        if spoken.missing:
            log.warning("dynamic_variables_missing", variables=list(spoken.missing))
        history = self._session.current_agent.chat_ctx.copy(
            exclude_instructions=True, exclude_function_call=True, exclude_config_update=True
        )
        return SucceedingAgent(config, spoken.prompt, history, self._tools(config), parts)

    async def _load(self, agent_id: str) -> DispatchMetadata:
        if self._client is None:
            raise CannotHandOff("a plain agent has no callbacks")
        loaded = await self._client.managed_agent(agent_id)
        call: dict[str, Any] = {
            "session_id": self._metadata.session_id,
            "user_id": self._metadata.user_id,
            "everline": self._metadata.everline,
            # What this call knows of its caller holds for every agent of it.
            "dynamic_variables": {**loaded.dynamic_variables, **self._metadata.dynamic_variables},
        }
        return loaded.model_copy(update=call)

    async def _engine(self, config: DispatchMetadata) -> EngineParts | None:
        """The engine of an agent that has another one than the call began with."""
        if config.engine == self._metadata.engine:
            return None
        inputs = EngineInputs(config=config, settings=self._settings, vad=self._vad)
        load_engine_plugins(inputs)
        return await asyncio.to_thread(build_engine, inputs)
