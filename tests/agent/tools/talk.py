"""A conversation by text with a real session of the SDK, a model over the wire, and real tools."""
# The SDK leaves the types of a session's user data and of its runs open:
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from livekit import api, rtc
from livekit.agents import Agent, AgentSession
from livekit.plugins import openai

from adapters.http.outbound import outbound_client
from adapters.settings import AgentSettings
from agent.call.end_cause import EndCause
from agent.tools import ToolInputs, agent_tools
from agent.tools.inputs import HandOff
from domain.sessions.dispatch_metadata import DispatchMetadata
from tests.fakes.scripted_chat import ScriptedChat


def settings(*, allow_private: bool = True, **more: Any) -> AgentSettings:
    """The agent worker's settings, which may call the fakes on loopback addresses."""
    return AgentSettings.model_validate(
        {
            "livekit_url": "ws://127.0.0.1:1",
            "livekit_api_key": "devkey",
            "livekit_api_secret": "secret",
            "everline_allow_private_tool_urls": allow_private,
            **more,
        }
    )


def no_livekit() -> api.LiveKitAPI:
    """For tools that do not use LiveKit's API."""
    raise AssertionError("LiveKit's API was used")


@dataclass
class Talk:
    """An open conversation."""

    session: AgentSession[None]
    chat: ScriptedChat
    ending: EndCause

    async def say(self, text: str) -> None:
        """Say something to the agent, and wait until it has answered."""
        await self.session.run(user_input=text)

    def said(self) -> list[str]:
        """All that was said, in order, without instructions."""
        return [
            item.text_content or ""
            for item in self.session.history.items
            if item.type == "message" and item.role in ("user", "assistant")
        ]


@asynccontextmanager
async def talking(
    chat: ScriptedChat,
    config: dict[str, Any],
    *,
    with_settings: AgentSettings | None = None,
    room: rtc.Room | None = None,
    livekit: Callable[[], api.LiveKitAPI] = no_livekit,
    hand_off: HandOff | None = None,
    ending: EndCause | None = None,
) -> AsyncGenerator[Talk]:
    """A conversation in which the agent has the tools of this configuration."""
    known = with_settings or settings()
    ending = ending or EndCause()
    async with outbound_client(
        allow_private=known.everline_allow_private_tool_urls, timeout=httpx.Timeout(10)
    ) as web:
        inputs = ToolInputs(
            config=DispatchMetadata.model_validate({"session_id": "s1", **config}),
            settings=known,
            ending=ending,
            room=room or rtc.Room(),
            livekit=livekit,
            web=web,
            hand_off=hand_off,
        )
        model = openai.LLM(model="fake", base_url=chat.url, api_key="none")
        session: AgentSession[None] = AgentSession(llm=model)
        agent = Agent(instructions="Help the caller.", tools=agent_tools(inputs))
        await session.start(agent)
        try:
            yield Talk(session, chat, ending)
        finally:
            await session.aclose()
            await model.aclose()
