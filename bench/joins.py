"""How long it takes until an agent is proven to be in the room: by itself, and in a storm."""

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from livekit import api
from livekit.protocol import agent_dispatch, models, room

from bench.errors import BenchError
from bench.series import Comparison, Series
from bench.stand import AGENT_NAME, ORG, Stand, settle
from bench.starts import timed
from domain.ids import SessionKey
from tests.waiting import eventually

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 20.0


async def measure_joins(stand: Stand, rounds: int, step: Callable[[], None]) -> Comparison:
    """Compare the time until a session's agent is ready with a script that uses LiveKit."""
    direct = Series("livekit-api script: room, dispatch, poll until ACTIVE", "ms")
    joined = Series("POST /session?wait=joined (ACTIVE and ready)", "ms")
    for _ in range(rounds):
        name = f"bench-{uuid.uuid4().hex}"
        await settle()
        try:
            await timed(direct, _agent_by_hand(stand.livekit, name))
        finally:
            await stand.livekit.room.delete_room(room.DeleteRoomRequest(room=name))
        await settle()
        session = await timed(joined, stand.start("joined"))
        await stand.end(session)
        step()
    return Comparison(
        "agent proven to be in the room, measured by the client",
        direct,
        [joined],
        ["the script trusts the participant list; Everline also waits for the agent's claim"],
    )


async def _agent_by_hand(livekit: api.LiveKitAPI, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    await livekit.room.create_room(room.CreateRoomRequest(name=name))
    await livekit.agent_dispatch.create_dispatch(
        agent_dispatch.CreateAgentDispatchRequest(room=name, agent_name=AGENT_NAME)
    )
    while time.monotonic() < deadline:
        found = await livekit.room.list_participants(room.ListParticipantsRequest(room=name))
        if any(_is_agent(participant) for participant in found.participants):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise BenchError(f"no agent {AGENT_NAME!r} joined the room within {PATIENCE_SECONDS:g} s")


def _is_agent(participant: models.ParticipantInfo) -> bool:
    return (
        participant.kind == models.ParticipantInfo.AGENT
        and participant.state == models.ParticipantInfo.ACTIVE
    )


# ── a storm ──────────────────────────────────────────────────────────────────────────────────────

STORM = 40
"""Starts at the same time."""
STORM_LIMITS = {
    **{"queue_seconds": 300, "join_timeout": 60, "caller_wait": 3600},
    **{"report_grace": 10, "summary_wait": 0},
}
"""Whoever is admitted has time to join, also while ten agents start on two cores."""
STORM_PATIENCE_SECONDS = 120.0


async def measure_storm(stand: Stand, rounds: int, step: Callable[[], None]) -> list[Comparison]:
    """Start many sessions at once on agent servers with few places, and end those that run.

    Raises:
        BenchError: a session that was admitted did not get its agent at the first attempt.
    """
    quiet = Series("POST /v1/sessions/start?wait=accepted, alone", "ms")
    refused = Series("refused with Retry-After", "ms")
    admitted = Series("accepted with a place, or into the queue", "ms")
    alone = Series("start, with a free place", "ms")
    next_one = Series("report of an ended call until the next in the queue has its agent", "ms")
    new_server = Series("registration of a new agent server until then", "ms")
    places = 0
    for _ in range(rounds):
        await settle()
        await timed(alone, stand.start("joined"))
        places = await _places(stand)
        await timed(quiet, _start(stand))
        await _end_all(stand)
        await settle()
        answers = await asyncio.gather(*(_start(stand) for _ in range(STORM)))
        for status, seconds, _ in answers:
            (refused if status == 503 else admitted).add(seconds * 1000)
        started = [answer for status, _, answer in answers if status != 503]
        queue = sorted(
            (one["queue_position"], one["session_id"]) for one in started if one["queue_position"]
        )
        waiting = [session_id for _, session_id in queue]
        live = [one["session_id"] for one in started if one["session_id"] not in waiting]
        for session_id in live:
            await _joined(stand, session_id)
        last = waiting.pop()
        for ending, joining in zip(live, waiting, strict=False):
            await _end(stand, ending)
            await _reported(stand, ending)
            await timed(next_one, _joined(stand, joining))
        async with _another_server(stand):
            await timed(new_server, _joined(stand, last))
            await _end_all(stand)
        step()
    note = f"{STORM} starts at once, room for {places} calls; none ended as agent_never_joined"
    return [
        Comparison("storm: the answer of a start", quiet, [refused, admitted], [note]),
        Comparison("storm: an agent in the room", alone, [next_one, new_server], [note]),
    ]


async def _places(stand: Stand) -> int:
    return (await stand.http.get("/health/agent")).json()["load"]["size"]


async def _start(stand: Stand) -> tuple[int, float, dict[str, Any]]:
    """Status, duration in seconds and body of a start's answer."""
    begun = time.perf_counter()
    answer = await stand.http.post(
        "/v1/sessions/start", params={"wait": "accepted"}, json={"limits": STORM_LIMITS}
    )
    seconds = time.perf_counter() - begun
    busy = answer.status_code == 503 and answer.json()["code"] == "no_capacity"
    if answer.status_code != 202 and not (busy and "Retry-After" in answer.headers):
        raise BenchError(f"a start was answered {answer.status_code} {answer.text[:300]}")
    return answer.status_code, seconds, answer.json()


async def _joined(stand: Stand, session_id: str) -> None:
    """Wait until a session has its agent, at the first attempt."""
    deadline = time.monotonic() + STORM_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = await stand.http.get(f"/v1/sessions/{session_id}")
        # On a busy machine, a worker may be late with its answer.
        status = answer.json() if answer.status_code == 200 else {"attempt": 0}
        if status["attempt"] == 1 and status["agent_joined"]:
            return
        if status["attempt"] > 1 or status.get("ended_at"):
            raise BenchError(f"{session_id}: attempt {status['attempt']}, {status['reason']}")
        await asyncio.sleep(POLL_SECONDS)
    raise BenchError(f"{session_id} got no agent within {STORM_PATIENCE_SECONDS:g} s")


async def _reported(stand: Stand, session_id: str) -> None:
    """Wait until an ended session has its agent's report."""

    async def is_in() -> bool:
        answer = await stand.http.get(f"/v1/sessions/{session_id}")
        return answer.status_code == 200 and answer.json()["report_received"]

    await eventually(is_in, STORM_PATIENCE_SECONDS)


async def _end(stand: Stand, session_id: str) -> None:
    await stand.http.post(f"/v1/sessions/{session_id}/end")


async def _end_all(stand: Stand) -> None:
    """End every open session, and wait until all are over and their agents are gone."""
    page = (await stand.http.get("/v1/sessions", params={"limit": 200})).json()
    open_ones = [one["session_id"] for one in page["sessions"] if one["state"] != "closed"]
    await asyncio.gather(*(stand.end(SessionKey(ORG, one)) for one in open_ones))

    async def is_idle() -> bool:
        load = (await stand.http.get("/health/agent")).json()["load"]
        return not (load["running"] or load["reserved"] or load["queued"])

    await eventually(is_idle, STORM_PATIENCE_SECONDS)


@asynccontextmanager
async def _another_server(stand: Stand) -> AsyncGenerator[None]:
    """A second agent server like the stack's own, with one place; entered as it registers."""
    pid = stand.stack.process("agent").pid
    if pid is None:
        raise BenchError("the agent server does not run")
    with tempfile.TemporaryDirectory(prefix="everline-bench-") as folder:
        log = Path(folder) / "agent.log"
        own = {"EVERLINE_MAX_JOBS": "1", "EVERLINE_SPOOL_DIR": f"{folder}/spool"}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent.server.main"),
                env=psutil.Process(pid).environ() | own,
                cwd=os.getcwd(),
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
            )
        try:
            await eventually(lambda: "registered worker" in log.read_text(), 60)
            yield
        finally:
            process.kill()
            await process.wait()
