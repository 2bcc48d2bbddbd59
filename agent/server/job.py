"""What a job process runs. LiveKit's agent server calls these functions by name."""

import asyncio
from typing import cast

import structlog
from livekit.agents import JobContext, JobProcess, inference
from livekit.agents.vad import VAD

from adapters.settings import AgentSettings, load
from agent.call.call import Call
from agent.call.claim import report_failure
from agent.call.metadata import MetadataFault, job_ref, read_metadata
from agent.callbacks import tls_context
from agent.logs import configure_job_logging
from agent.server.ticks import say_done, tick_forever

log = structlog.stdlib.get_logger(__name__)

_SETTINGS, _VAD, _CALL, _TICKS = "settings", "vad", "call", "ticks"


def prewarm(process: JobProcess) -> None:
    """Prepare an idle process, so that a call does not wait for it."""
    settings = load(AgentSettings)
    configure_job_logging(settings)
    process.userdata[_SETTINGS] = settings
    process.userdata[_VAD] = inference.VAD()
    tls_context()


async def entrypoint(ctx: JobContext) -> None:
    """Take part in a call."""

    def caller() -> str | None:
        call = ctx.proc.userdata.get(_CALL)
        return call.caller_connection() if isinstance(call, Call) else None

    def unanswered() -> bool:
        call = ctx.proc.userdata.get(_CALL)
        return isinstance(call, Call) and call.unanswered()

    # Stored, because asyncio holds tasks weakly; it ends with the event loop.
    ctx.proc.userdata[_TICKS] = asyncio.create_task(
        tick_forever(ctx.job.id, caller, unanswered), name="ticks"
    )
    try:
        metadata = read_metadata(ctx.job.metadata, ctx.job.room.name)
    except MetadataFault as fault:
        log.error("metadata_not_valid", job_id=ctx.job.id, error=str(fault))
        if fault.everline is not None:
            await report_failure(fault.everline, ctx.job.id, str(fault), retryable=False)
        ctx.shutdown(str(fault))
        return
    named = job_ref(ctx.job).model_dump()
    ctx.log_context_fields = {**named, "session_id": metadata.session_id}
    userdata = ctx.proc.userdata
    call = Call(ctx, metadata, cast(AgentSettings, userdata[_SETTINGS]), cast(VAD, userdata[_VAD]))
    userdata[_CALL] = call
    await call.run()


async def session_end(ctx: JobContext) -> None:
    """Hand in the report of the call, if there was one."""
    call = ctx.proc.userdata.get(_CALL)
    if not isinstance(call, Call):
        say_done(ctx.job.id)
        return
    try:
        await call.hand_in()
        # First: a failure while closing the connections does not lose the call.
        say_done(ctx.job.id)
    finally:
        await call.aclose()
