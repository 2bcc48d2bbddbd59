"""Saved agents that take over a conversation: loaded by callback, and built during the call."""
# The SDK leaves the types of models and of a session's user data open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from livekit.agents import NOT_GIVEN, Agent, llm
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings
from agent.call.prompt import words
from agent.callbacks import CallbackClient, CallbackError
from agent.engines import (
    EngineFault,
    EngineInputs,
    EngineParts,
    EngineUnavailable,
    Notice,
    build_engine,
    load_engine_plugins,
)
from agent.tools import AnyTool
from agent.tools.hand_off import CannotHandOff
from domain.sessions.dispatch_metadata import DispatchMetadata

log = structlog.stdlib.get_logger(__name__)

LOAD_SECONDS = 8.0
"""How long the caller waits for the agent that takes over; then the present one goes on."""


class SucceedingAgent(Agent):
    """A saved agent that the conversation was handed to.

    Args:
        config: its configuration, with its id.
        instructions: its prompt, filled in.
        chat_ctx: what was said so far.
        tools: its tools.
        parts: its engine; None for the one that the session has.
        answers: whether it answers at once when it takes over.
    """

    def __init__(
        self,
        config: DispatchMetadata,
        instructions: str,
        chat_ctx: llm.ChatContext,
        tools: list[AnyTool],
        parts: EngineParts | None,
        *,
        answers: bool,
    ) -> None:
        # An engine without its own ears or voice must not take those of the session.
        super().__init__(
            id=config.agentId,
            instructions=instructions,
            chat_ctx=chat_ctx,
            tools=tools,
            stt=parts.stt if parts else NOT_GIVEN,
            llm=parts.llm if parts else NOT_GIVEN,
            tts=parts.tts if parts else NOT_GIVEN,
            vad=parts.vad if parts else NOT_GIVEN,
            turn_handling=parts.turn_handling if parts else NOT_GIVEN,
        )
        self.engine = parts
        self._answers = answers

    async def on_enter(self) -> None:
        """Go on with the conversation, without another greeting."""
        if self._answers:
            self.session.generate_reply()


class Handoff:
    """Loads the agents that take over.

    Args:
        metadata: the configuration that the call began with.
        settings: the agent worker's.
        vad: voice activity detection, shared by the engines of the call.
        client: the callback API; None for a plain agent.
        tools: makes the tools of an agent.
    """

    def __init__(
        self,
        metadata: DispatchMetadata,
        settings: AgentSettings,
        vad: VAD,
        client: CallbackClient | None,
        tools: Callable[[DispatchMetadata], list[AnyTool]],
    ) -> None:
        self._metadata = metadata
        self._settings = settings
        self._vad = vad
        self._client = client
        self._tools = tools
        self.notices: list[Notice] = []
        """What the agents that took over could not do as configured."""

    async def take_over(
        self, agent_id: str, history: llm.ChatContext, *, answers: bool
    ) -> SucceedingAgent:
        """The saved agent of this id, with its tools and, if that is another, its engine.

        Args:
            agent_id: of the saved agent.
            history: what was said so far.
            answers: whether it answers at once when it takes over.

        Raises:
            CannotHandOff: it cannot be loaded or built within `LOAD_SECONDS`.
        """
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                config = await self._load(agent_id)
                parts = await self._engine(config)
        except (CallbackError, EngineFault, EngineUnavailable, TimeoutError) as error:
            raise CannotHandOff(str(error) or type(error).__name__) from error
        for notice in parts.notices if parts else ():
            log.warning("configured_otherwise", field=notice.field, reason=notice.reason)
            self.notices.append(notice)
        spoken = words(config)
        if spoken.missing:
            log.warning("dynamic_variables_missing", variables=list(spoken.missing))
        return SucceedingAgent(
            config, spoken.prompt, history, self._tools(config), parts, answers=answers
        )

    async def _load(self, agent_id: str) -> DispatchMetadata:
        if self._client is None:
            raise CannotHandOff("a plain agent has no callbacks")
        loaded = await self._client.managed_agent(agent_id)
        call: dict[str, Any] = {
            "agentId": agent_id,
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
