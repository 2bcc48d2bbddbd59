"""Everline's agent server with an agent that joins its room at once, and then says nothing.

Run as `python -m tests.fakes.instant_agent`, with the settings of the agent worker.
"""
# The SDK leaves type parameters of its server open:
# pyright: reportUnknownMemberType=false

import asyncio
import os

import structlog
from livekit.agents import JobContext
from livekit.protocol.agent import WorkerMessage

from adapters.settings import AgentSettings, load
from agent.logs import configure_logging
from agent.server.agent_server import CountingAgentServer

log = structlog.stdlib.get_logger(__name__)

PID = "pid"
"""Attribute of the agent's participant: its process."""


def knows_of(jobs: int) -> str:
    """What is logged once LiveKit was told of so many jobs."""
    return f"livekit knows of {jobs} jobs"


class TellingServer(CountingAgentServer):
    """Logs what LiveKit is told."""

    async def _queue_msg(self, msg: WorkerMessage) -> None:
        await super()._queue_msg(msg)
        if msg.HasField("update_worker"):
            log.info(knows_of(msg.update_worker.job_count))


async def join(ctx: JobContext) -> None:
    """Take part in a call, until the room is deleted."""
    await ctx.connect()
    await ctx.room.local_participant.set_attributes({PID: str(os.getpid())})


def main() -> None:
    """Serve until the process is stopped."""
    settings = load(AgentSettings)
    configure_logging(settings)
    server = TellingServer(settings)
    server.rtc_session(join, agent_name=settings.dispatch_name, on_request=server.answer)
    asyncio.run(server.run())


if __name__ == "__main__":
    main()
