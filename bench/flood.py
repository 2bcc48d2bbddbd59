"""One org floods and a model hangs: how long does another org's call take to start and to end?"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from livekit import api
from livekit.protocol import room
from pydantic import SecretStr

from adapters.mongo.archive import MongoArchive
from adapters.settings import ArchiveSettings
from adapters.temporal.runs import TemporalSummaryRuns
from bench.errors import BenchError
from bench.series import Comparison, Series
from bench.stand import Stand, clients
from domain.ids import SessionKey
from domain.transcripts.summary import SummaryOrder
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from stack.layout.parts import TASK_QUEUE
from tests.local_stack import local_stack

FLOOD, OTHER = "flood", "other"
STARTS = 500
STARTS_AT_ONCE = 20
SUMMARIES = 150
"""More than one worker has slots for."""
LONGEST = {"join_timeout": 120, "join_attempts": 10}
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
NO_LIMITS = {
    "EVERLINE_MAX_SESSIONS_PER_ORG": "0",
    "EVERLINE_MAX_JOINS_PER_ORG": "0",
    "EVERLINE_ORG_STARTS_PER_SECOND": "0",
}


async def measure_flood(rounds: int, step: Callable[[], None]) -> list[Comparison]:
    """Measure one org's calls on a quiet stack and then during a flood, on a stack of its own.

    No agent server runs, so every start of the flood waits for an agent as long as it may. The
    limits per org are off: they would refuse most of it.
    """
    kinds = ("start, until the agent is dispatched", "end, until it is accepted", "room deleted")
    quiet = [Series("quiet", "ms") for _ in kinds]
    flooded = [Series(f"during {STARTS} starts and {SUMMARIES} summaries", "ms") for _ in kinds]
    async with _hanging_model() as model, _stand(model) as stand:
        for _ in range(rounds):
            await _one_call(stand, quiet)
            step()
        await _hang_summaries(stand)
        answers = await _flood(stand)
        for _ in range(rounds):
            await _one_call(stand, flooded)
            step()
        waiting = await _still_waiting(stand)
    notes = [
        f"{waiting} of the flood's sessions still wait; its starts were answered with"
        f" {', '.join(f'{status}: {count}' for status, count in sorted(answers.items()))}"
    ]
    return [
        Comparison(f"another org's {kind}", before, [during], notes)
        for kind, before, during in zip(kinds, quiet, flooded, strict=True)
    ]


@asynccontextmanager
async def _stand(model: str) -> AsyncGenerator[Stand]:
    worker = {
        "SUMMARISER": "openai",
        "SUMMARISER_BASE_URL": model,
        "OPENAI_API_KEY": "bench",
    }
    with tempfile.TemporaryDirectory(prefix="everline-bench-") as folder:
        async with (
            local_stack(
                Path(folder),
                without=["models", "agent"],
                settings={"worker": worker, "api": NO_LIMITS},
            ) as stack,
            clients(stack) as stand,
        ):
            yield stand


@asynccontextmanager
async def _hanging_model() -> AsyncGenerator[str]:
    """The URL of a model server that takes every request and answers none."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def _one_call(stand: Stand, series: list[Series]) -> None:
    """Start a session, end it, and wait until its room is gone."""
    started, ended, deleted = series
    begun = time.perf_counter()
    answer = await _start(stand, OTHER, {})
    started.add((time.perf_counter() - begun) * 1000)
    if answer.status_code != 200:
        raise BenchError(f"start: {answer.status_code} {answer.text[:300]}")
    session = answer.json()
    begun = time.perf_counter()
    path = f"/v1/sessions/{session['session_id']}/end"
    answer = await stand.http.post(path, headers={"x-org-id": OTHER})
    ended.add((time.perf_counter() - begun) * 1000)
    if answer.status_code != 200:
        raise BenchError(f"end: {answer.status_code} {answer.text[:300]}")
    await _until_deleted(stand.livekit, session["room_name"])
    deleted.add((time.perf_counter() - begun) * 1000)


async def _start(stand: Stand, org: str, limits: Mapping[str, float]) -> httpx.Response:
    return await stand.http.post(
        "/v1/sessions/start",
        params={"wait": "dispatched" if org == OTHER else "accepted"},
        headers={"x-org-id": org},
        json={"user_identity": "bench", "agent_config": {"prompt": "Be brief."}, "limits": limits},
    )


async def _until_deleted(livekit: api.LiveKitAPI, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (await livekit.room.list_rooms(room.ListRoomsRequest(names=[name]))).rooms:
        if time.monotonic() > deadline:
            raise BenchError(f"room {name} was not deleted within {PATIENCE_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)


async def _hang_summaries(stand: Stand) -> None:
    """Have summaries written by the model that hangs."""
    settings = ArchiveSettings(mongodb_uri=SecretStr(stand.stack.urls.mongodb or ""))
    archive = MongoArchive.of(settings)
    if archive is None:
        raise BenchError("the stack lacks its MongoDB")
    runs = TemporalSummaryRuns(stand.temporal, TASK_QUEUE)
    now = datetime.now(UTC)
    try:
        for number in range(SUMMARIES):
            key = SessionKey(FLOOD, f"summary-{number}")
            said = Turn(
                item_id="1", attempt=1, role=Role.USER, text="Good morning.", created_at=now
            )
            await Transcripts(archive.transcripts).record_turns(key, [said], now)
            await runs.start(SummaryOrder(org=key.org, session_id=key.session_id))
    finally:
        archive.close()


async def _flood(stand: Stand) -> Counter[int]:
    """Start many sessions of one org; returns the statuses of the answers."""
    gate = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start() -> int:
        async with gate:
            return (await _start(stand, FLOOD, LONGEST)).status_code

    return Counter(await asyncio.gather(*(start() for _ in range(STARTS))))


async def _still_waiting(stand: Stand) -> int:
    query = f"SessionOrg = '{FLOOD}' AND ExecutionStatus = 'Running' AND WorkflowType = 'session'"
    return (await stand.temporal.count_workflows(query)).count
