"""The baseline of the turns: the same engine in an agent of LiveKit's SDK, without Everline.

Run as `python -m bench.plain_agent start`; keys and addresses come from the environment, as they do
with every agent of the SDK.
"""
# The SDK leaves type parameters of its agents and sessions open:
# pyright: reportUnknownMemberType=false

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, inference
from livekit.plugins import openai

from domain.agents.config import DEFAULT_LLM, DEFAULT_STT, DEFAULT_TTS
from domain.agents.descriptors import parse_descriptor

NAME_VARIABLE = "BENCH_AGENT_NAME"


def not_busy() -> float:
    """A busy machine is measured as well: by default, its calls would be refused."""
    return 0.0


server = AgentServer(port=0, load_fnc=not_busy, num_idle_processes=1)


@server.rtc_session(agent_name=os.environ.get(NAME_VARIABLE, "bench-plain"))
async def entrypoint(ctx: JobContext) -> None:
    """Talk with the models that Everline takes when none are named."""
    hearing = parse_descriptor(DEFAULT_STT, "engine.stt")
    thinking = parse_descriptor(DEFAULT_LLM, "engine.llm")
    speaking = parse_descriptor(DEFAULT_TTS, "engine.tts")
    session = AgentSession[None](
        stt=openai.STT(model=hearing.model, language="", detect_language=True),
        llm=openai.LLM(model=thinking.model),
        tts=openai.TTS(model=speaking.model, voice=speaking.voice or "", response_format="pcm"),
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(room=ctx.room, agent=Agent(instructions="Answer briefly."))
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
