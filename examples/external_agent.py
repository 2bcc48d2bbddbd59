"""A voice agent of LiveKit's SDK that hands its report to Everline."""
# The SDK leaves some types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import json
from typing import Any

import httpx
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, inference
from livekit.plugins import openai

CALLS = 10


def load(server: AgentServer) -> float:
    """Below the threshold until all places are taken."""
    return 0.5 * len(server.active_jobs) / CALLS


server = AgentServer(load_fnc=load, load_threshold=0.5, port=0)


async def hand_in(ctx: JobContext) -> None:
    """Send the report, with the token that the job's metadata has for this session."""
    everline = json.loads(ctx.job.metadata)["everline"]
    report: dict[str, Any] = ctx.make_session_report().to_dict()
    async with httpx.AsyncClient(timeout=30) as http:
        answer = await http.post(
            f"{everline['callback_url']}/session/observability",
            headers={"Authorization": f"Bearer {everline['callback_token']}"},
            json=report,
        )
        answer.raise_for_status()


@server.rtc_session(agent_name="local-test", on_session_end=hand_in)
async def entrypoint(ctx: JobContext) -> None:
    """Join the call and talk."""
    prompt = json.loads(ctx.job.metadata).get("prompt", "You are a helpful voice agent.")
    session = AgentSession[None](
        stt=openai.STT(language="en"),
        llm=openai.LLM(model="gpt-4.1-mini"),
        tts=openai.TTS(response_format="pcm"),
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(room=ctx.room, agent=Agent(instructions=prompt))
    await session.say("Hello, how can I help you?")


if __name__ == "__main__":
    cli.run_app(server)
