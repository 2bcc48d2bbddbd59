"""The same start many times while its agent is slow: one session, and everybody is answered."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from domain.ids import SessionKey
from domain.sessions.session import Outcome
from tests.harness.client import QUICK
from tests.harness.rig import ORG, Rig
from tests.waiting import eventually

EQUAL_STARTS = 50
REPEATS = 14
SLOW = QUICK | {"join_timeout": 60.0, "ready_timeout": 120.0, "caller_wait": 300.0}


@asynccontextmanager
async def slow_agent(rig: Rig, session_id: str) -> AsyncGenerator[None]:
    """The session's agent is in the room, but its claim comes only after the block."""
    await eventually(lambda: _agents_are_there(rig), 60, "an agent server has sent a heartbeat")
    rig.know(SessionKey(ORG, session_id))
    rig.proxy.claims_pass = False
    try:
        yield
        await rig.client.until(session_id, 60, waiting_for="agent_ready")
    finally:
        rig.proxy.claims_pass = True


async def _agents_are_there(rig: Rig) -> bool:
    """Not if another test has just put the stack's agent server back."""
    return (await rig.client.http.get("/health/agent")).is_success


def request(path: str, session_id: str) -> dict[str, Any]:
    """The body of a start, in the words of its route."""
    if path == "/session":
        return {"sessionId": session_id, "userIdentity": "ann", "limits": SLOW}
    return {"session_id": session_id, "user_identity": "ann", "limits": SLOW}


async def start(rig: Rig, path: str, session_id: str, patience: float = 40) -> httpx.Response:
    """Start a session and wait until its agent is in, or for `patience` seconds."""
    body, timeout = request(path, session_id), httpx.Timeout(40, read=patience)
    return await rig.client.http.post(path, json=body, params={"wait": "joined"}, timeout=timeout)


@pytest.mark.parametrize(
    ("path", "session_id"), [("/v1/sessions/start", "fifty-v1"), ("/session", "fifty-seed")]
)
async def test_fifty_equal_starts_are_one_session_and_each_is_answered(
    rig: Rig, path: str, session_id: str
) -> None:
    async with slow_agent(rig, session_id):
        starts = [asyncio.create_task(start(rig, path, session_id)) for _ in range(EQUAL_STARTS)]
    answers = await asyncio.gather(*starts)

    assert [answer.status_code for answer in answers] == [200] * EQUAL_STARTS
    named = "sessionId" if path == "/session" else "session_id"
    assert {answer.json()[named] for answer in answers} == {session_id}
    await rig.client.end(session_id)
    closed = await rig.client.closed(session_id)
    assert (closed.outcome, closed.dispatches, closed.joins) == (Outcome.CALLER_NEVER_JOINED, 1, 1)


async def test_a_client_without_patience_does_its_session_no_harm(rig: Rig) -> None:
    session_id = "impatient"
    async with slow_agent(rig, session_id):
        for _ in range(REPEATS):
            with pytest.raises(httpx.ReadTimeout):
                await start(rig, "/v1/sessions/start", session_id, patience=0.4)

    joined = await start(rig, "/v1/sessions/start", session_id)

    assert joined.status_code == 200
    assert joined.json()["agent_joined"]
    await rig.client.end(session_id)
    closed = await rig.client.closed(session_id)
    assert (closed.outcome, closed.joins) == (Outcome.CALLER_NEVER_JOINED, 1)
