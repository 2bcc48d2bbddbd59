"""The tools of a call's agents, and the saved agents that can take the conversation over."""
# The SDK leaves the types of models and of a session's user data open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from dataclasses import dataclass
from functools import partial

import httpx
import structlog
from livekit import rtc
from livekit.agents import NOT_GIVEN, Agent, AgentSession, llm
from livekit.agents.vad import VAD
from livekit.api import LiveKitAPI

from adapters.http.outbound import outbound_client
from adapters.settings import AgentSettings
from agent.call.claim import retry_until
from agent.call.end_cause import EndCause
from agent.call.prompt import words
from agent.call.turns import restored
from agent.callbacks import CallbackClient, CallbackError, tls_context
from agent.engines import (
    EngineFault,
    EngineInputs,
    EngineParts,
    EngineUnavailable,
    Notice,
    build_engine,
    load_engine_plugins,
)
from agent.tools import AnyTool, ToolInputs, agent_tools
from agent.tools.hand_off import CannotHandOff
from domain.sessions.dispatch_metadata import DispatchMetadata
from domain.transcripts.transcript import Turn, in_charge

log = structlog.stdlib.get_logger(__name__)

LOAD_SECONDS = 8.0
"""How long the caller waits for the agent that takes over; then the present one continues."""


class SucceedingAgent(Agent):
    """A saved agent that the conversation was handed to; `parts` is None for the session's engine.

    With `answers` it answers as soon as it takes over.
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
        # An engine without its own stt or tts must not use the session's.
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
        """Continue the conversation, without another greeting."""
        if self._answers:
            self.session.generate_reply()


@dataclass
class CallTools:
    """The tools of the agents of one call; without a `client` no saved agent can take over."""

    room: rtc.Room
    livekit: LiveKitAPI
    metadata: DispatchMetadata
    settings: AgentSettings
    vad: VAD
    ending: EndCause
    client: CallbackClient | None
    session: AgentSession[None]
    notices: list[Notice]
    """What the agents cannot do as configured; those that take over add theirs."""

    def __post_init__(self) -> None:
        self._web = outbound_client(
            allow_private=self.settings.everline_allow_private_tool_urls,
            timeout=httpx.Timeout(10.0),
            tls=tls_context(),
        )

    async def opening(
        self, prompt: str, parts: EngineParts, history: list[Turn]
    ) -> tuple[Agent, EngineParts]:
        """The agent that this attempt begins with, and its engine.

        If a saved agent had taken over in an earlier attempt (`history`), it continues, unless it
        cannot be loaded now; else the agent of the call begins, with its `prompt` and its engine.
        """
        if agent_id := in_charge(history):
            try:
                agent = await self._take_over(agent_id, restored(history), answers=False)
                return agent, agent.engine or parts
            except CannotHandOff as error:
                log.warning("hand_off_not_resumed", agent_id=agent_id, why=str(error))
        tools = self._tools(self.metadata)
        return Agent(instructions=prompt, chat_ctx=restored(history), tools=tools), parts

    async def aclose(self) -> None:
        """Close the connections of the tools."""
        await self._web.aclose()

    def _tools(self, config: DispatchMetadata) -> list[AnyTool]:
        return agent_tools(
            ToolInputs(
                config=config,
                settings=self.settings,
                ending=self.ending,
                room=self.room,
                livekit=lambda: self.livekit,
                web=self._web,
                hand_off=self._hand_off if self.client else None,
            )
        )

    async def _hand_off(self, agent_id: str) -> Agent:
        history = self.session.current_agent.chat_ctx.copy(
            exclude_instructions=True, exclude_function_call=True, exclude_config_update=True
        )
        return await self._take_over(agent_id, history, answers=True)

    async def _take_over(
        self, agent_id: str, history: llm.ChatContext, *, answers: bool
    ) -> SucceedingAgent:
        """The saved agent of this id, with its tools and, if it differs, its engine.

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
        return SucceedingAgent(
            config, spoken.prompt, history, self._tools(config), parts, answers=answers
        )

    async def _load(self, agent_id: str) -> DispatchMetadata:
        if self.client is None:
            raise CannotHandOff("a plain agent has no callbacks")
        fetch = partial(self.client.managed_agent, agent_id)
        loaded = await retry_until(time.monotonic() + LOAD_SECONDS, "managed_agent", fetch)
        call = {
            "agentId": agent_id,
            "session_id": self.metadata.session_id,
            "user_id": self.metadata.user_id,
            "everline": self.metadata.everline,
            # What this call knows of its caller applies to each of its agents.
            "dynamic_variables": {**loaded.dynamic_variables, **self.metadata.dynamic_variables},
        }
        return loaded.model_copy(update=call)

    async def _engine(self, config: DispatchMetadata) -> EngineParts | None:
        """The engine of the agent; None if it is the one that the call began with."""
        if config.engine == self.metadata.engine:
            return None
        inputs = EngineInputs(config=config, settings=self.settings, vad=self.vad)
        load_engine_plugins(inputs)
        return await asyncio.to_thread(build_engine, inputs)
