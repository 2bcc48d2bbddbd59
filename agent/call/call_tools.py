"""What an agent brings to a call beside its engine: tools, and agents that it can hand over to."""
# The SDK leaves the types of a session's user data open:
# pyright: reportUnknownMemberType=false

import httpx
import structlog
from livekit.agents import Agent, AgentSession, JobContext
from livekit.agents.vad import VAD

from adapters.http.outbound import outbound_client
from adapters.settings import AgentSettings
from agent.call.ending import Ending
from agent.call.handoff import Handoff
from agent.call.turns import restored
from agent.callbacks import CallbackClient, tls_context
from agent.engines import EngineParts, Notice
from agent.tools import AnyTool, ToolInputs, agent_tools
from agent.tools.hand_off import CannotHandOff
from domain.sessions.dispatch_metadata import DispatchMetadata
from domain.transcripts.transcript import Turn, in_charge

log = structlog.stdlib.get_logger(__name__)


class CallTools:
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
        self._ending = ending
        self._hands_off = client is not None
        self._session = session
        self._succession = Handoff(metadata, settings, vad, client, self._tools)
        self._web = outbound_client(
            allow_private=settings.everline_allow_private_tool_urls,
            timeout=httpx.Timeout(10.0),
            tls=tls_context(),
        )

    @property
    def notices(self) -> list[Notice]:
        """What the agents that took over could not do as configured."""
        return self._succession.notices

    async def opening(
        self, prompt: str, parts: EngineParts, history: list[Turn]
    ) -> tuple[Agent, EngineParts]:
        """The agent that this attempt begins with, and its engine.

        Args:
            prompt: of the agent that the call began with, filled in.
            parts: the engine that the call began with.
            history: what was said before this attempt. If a saved agent had taken over by then,
                it goes on, unless it cannot be loaded now.
        """
        if agent_id := in_charge(history):
            try:
                agent = await self._succession.take_over(agent_id, restored(history), answers=False)
            except CannotHandOff as error:
                log.warning("hand_off_not_resumed", agent_id=agent_id, why=str(error))
            else:
                return agent, agent.engine or parts
        tools = self._tools(self._metadata)
        return Agent(instructions=prompt, chat_ctx=restored(history), tools=tools), parts

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
                hand_off=self._successor if self._hands_off else None,
            )
        )

    async def _successor(self, agent_id: str) -> Agent:
        """The saved agent of this id, ready to take over; see `agent.tools.inputs.HandOff`."""
        history = self._session.current_agent.chat_ctx.copy(
            exclude_instructions=True, exclude_function_call=True, exclude_config_update=True
        )
        return await self._succession.take_over(agent_id, history, answers=True)
