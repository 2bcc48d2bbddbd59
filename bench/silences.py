"""How long a caller hears nothing when the agent dies during a call."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import psutil
from livekit.protocol import agent_dispatch, models, room

from bench.errors import BenchError
from bench.series import Comparison, Series
from bench.stand import AGENT_NAME, ORG, Stand, settle
from domain.ids import SessionKey
from stack.demo.caller import Caller

PATIENCE_SECONDS = 45.0
POLL_SECONDS = 0.02
QUICKEST_NOTICE_SECONDS = 1.0
"""LiveKit keeps a participant whose connection broke for seconds, because it may reconnect."""
QUICKEST_VOICE_SECONDS = 0.1
"""No other agent joins, claims and speaks in less."""
CHAT_TOPIC = "lk.chat"
QUESTION = "I would like a table for eight on Friday, please."
AGENT = {
    "prompt": "You are the host of the Blue Door, a restaurant. You take bookings.",
    "conversation_start": {"who": "ai", "greeting": "Hello, this is the Blue Door."},
}


async def measure_silences(stand: Stand, rounds: int, step: Callable[[], None]) -> Comparison:
    """Measure from the death of the agent's job to the first sound of the next agent.

    The baseline is LiveKit alone: the same agent worker in a room without a session, until LiveKit
    removes its participant; before that, nobody could replace it.
    """
    alone = Series(
        "LiveKit alone: job killed, until LiveKit notices", "s", above=QUICKEST_NOTICE_SECONDS
    )
    killed = Series(
        "session: job killed, until the next agent speaks", "s", above=QUICKEST_VOICE_SECONDS
    )
    hung = Series(
        "session: job stopped (SIGSTOP), until the next agent speaks",
        "s",
        above=QUICKEST_VOICE_SECONDS,
    )
    for _ in range(rounds):
        await settle()
        alone.add(await _livekit_alone(stand))
        for series, how in ((killed, signal.SIGKILL), (hung, signal.SIGSTOP)):
            await settle()
            series.add(await _in_a_session(stand, how))
        step()
    return Comparison(
        "silence that the caller hears when the agent dies while it speaks",
        alone,
        [killed, hung],
        ["the next agent answers what the caller had said last"],
    )


async def _livekit_alone(stand: Stand) -> float:
    name = f"bench-{uuid.uuid4().hex}"
    await stand.livekit.room.create_room(room.CreateRoomRequest(name=name))
    request = agent_dispatch.CreateAgentDispatchRequest(room=name, agent_name=AGENT_NAME)
    before = await _jobs(stand)
    try:
        await stand.livekit.agent_dispatch.create_dispatch(request)
        await _until_participants(stand, name, 1)
        died = _strike(await _job_since(stand, before), signal.SIGKILL)
        await _until_participants(stand, name, 0)
        return time.monotonic() - died
    finally:
        await stand.livekit.room.delete_room(room.DeleteRoomRequest(room=name))


async def _until_participants(stand: Stand, name: str, count: int) -> None:
    """Wait until so many participants are in the room and their connections are up."""
    request = room.ListParticipantsRequest(room=name)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        listed = (await stand.livekit.room.list_participants(request)).participants
        active = all(one.state == models.ParticipantInfo.ACTIVE for one in listed)
        if active and len(listed) == count:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"the room never had {count} active participants")
        await asyncio.sleep(POLL_SECONDS)


async def _in_a_session(stand: Stand, how: signal.Signals) -> float:
    before = await _jobs(stand)
    async with _call(stand) as caller:
        job = await _job_since(stand, before)
        asked = time.monotonic()
        await caller.room.local_participant.send_text(QUESTION, topic=CHAT_TOPIC)
        speaker = await _voice(caller, asked, unlike=None)
        died = _strike(job, how)
        await _voice(caller, died, unlike=speaker)
        return time.monotonic() - died


@asynccontextmanager
async def _call(stand: Stand) -> AsyncGenerator[Caller]:
    """A call in which the agent has greeted the caller."""
    body = {"user_identity": "bench", "agent_config": AGENT}
    answer = await stand.http.post("/v1/sessions/start", params={"wait": "joined"}, json=body)
    if answer.status_code != 200:
        raise BenchError(f"POST /v1/sessions/start: {answer.status_code} {answer.text[:300]}")
    started, caller = answer.json(), Caller()
    try:
        await caller.connect(started["livekit_url"], started["livekit_token"])
        await caller.wait_until_heard(PATIENCE_SECONDS)
        await caller.wait_until_agent_spoke(0.0, PATIENCE_SECONDS)
        yield caller
    finally:
        await caller.disconnect()
        await stand.end(SessionKey(ORG, started["session_id"]))


async def _voice(caller: Caller, since: float, *, unlike: str | None) -> str:
    """Wait until a participant other than `unlike` is heard; returns its identity."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for frame in caller.heard.speech(since):
            if frame.identity != unlike:
                return frame.identity
        await asyncio.sleep(POLL_SECONDS)
    raise BenchError(f"no agent was heard within {PATIENCE_SECONDS:g} s")


async def _jobs(stand: Stand) -> set[psutil.Process]:
    """Return the jobs: the processes of the agent server that are connected to LiveKit."""
    server = stand.stack.process("agent").pid
    livekit = urlsplit(stand.stack.urls.livekit or "").port
    if server is None or livekit is None:
        raise BenchError("the running stack has no agent server or no LiveKit")
    jobs: set[psutil.Process] = set()
    for process in psutil.Process(server).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            links = await asyncio.to_thread(process.net_connections, "tcp")
            if any(link.raddr and link.raddr.port == livekit for link in links):
                jobs.add(process)
    return jobs


async def _job_since(stand: Stand, before: set[psutil.Process]) -> psutil.Process:
    """Return the one job that was not there before; jobs of earlier calls may still be ending."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(new := await _jobs(stand) - before) != 1:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(new)} new jobs are connected to LiveKit, not one")
        await asyncio.sleep(POLL_SECONDS)
    return new.pop()


def _strike(job: psutil.Process, how: signal.Signals) -> float:
    job.send_signal(how)
    return time.monotonic()
