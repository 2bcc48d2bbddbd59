"""A voice agent as LiveKit's documentation writes one; it has never heard of Everline.

Run as `python -m tests.fakes.plain_agent start`; LiveKit's and the provider's keys come from the
environment, as they do with every agent of LiveKit's SDK.
"""
# The SDK leaves type parameters of its agents and sessions open:
# pyright: reportUnknownMemberType=false

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, inference
from livekit.plugins import openai


class Assistant(Agent):
    """A helpful voice assistant."""

    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful voice AI assistant.")


def not_busy() -> float:
    """By default an agent server refuses calls while the machine is busy; tests make it so."""
    return 0.0


server = AgentServer(port=0, load_fnc=not_busy, num_idle_processes=1)


@server.rtc_session(agent_name=os.environ.get("PLAIN_AGENT_NAME", "local-test"))
async def my_agent(ctx: JobContext) -> None:
    """Join the call and talk."""
    session = AgentSession[None](
        stt=openai.STT(language="en"),
        llm=openai.LLM(model="gpt-4.1-mini"),
        tts=openai.TTS(response_format="pcm"),
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(room=ctx.room, agent=Assistant())
    await ctx.connect()
    await session.say("Hello, how can I help you today?")


if __name__ == "__main__":
    cli.run_app(server)
