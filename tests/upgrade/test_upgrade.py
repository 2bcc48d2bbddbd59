"""Every process moves from the previous release to this one during calls, and back again."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from domain.sessions.session import Outcome, SessionState
from tests.harness.call import Call
from tests.harness.rig import running_rig
from tests.invariants import require_invariants
from tests.upgrade.moves import MODULES, Moves
from tests.upgrade.releases import PREVIOUS, install, python_of
from tests.upgrade.traffic import Traffic
from tests.waiting import eventually

CALLS = 3


@pytest.mark.upgrade
@pytest.mark.timeout(2400)
async def test_calls_live_through_an_upgrade_and_the_way_back(tmp_path: Path) -> None:
    """Calls of the previous release meet every mix of both; each reaches its own end.

    Calls that begin on this release end on it before its worker goes: a worker of the previous
    release cannot know what workflows of a later one have done (docs/how-to/operations.md).
    """
    python = python_of(install(PREVIOUS))
    async with running_rig(tmp_path / "stack", python=python) as rig, AsyncExitStack() as calls:
        moves, traffic = Moves(rig, tmp_path), Traffic(rig)
        calls.callback(moves.stop)
        held = [await calls.enter_async_context(rig.call()) for _ in range(CALLS)]
        await _all_talk(held, "Anna")
        async with traffic.flowing():
            for part, name in zip(MODULES, ("Bruno", "Clara", "David"), strict=True):
                await moves.there(part)
                await _all_talk(held, name, agents=2 if part == "agent" else 1)
        async with traffic.flowing():
            for part, name in (("api", "Emma"), ("agent", "Felix")):
                await moves.back(part)
                await _all_talk(held, name, agents=3 if part == "agent" else 2)
        await moves.back("worker")
        async with traffic.flowing():
            await _all_talk(held, "Grace", agents=3)
        for call in held:
            await call.leave()
        for call in held:
            ended = await rig.client.closed(call.session_id, 120)
            assert ended.outcome is Outcome.COMPLETED, ended
            said = (await rig.client.transcript(call.session_id)).said("user")
            for name in ("Anna", "Bruno", "Clara", "David", "Emma", "Felix", "Grace"):
                assert f"My name is {name}." in said, (name, said)
        assert traffic.ended
        assert {status.outcome for status in traffic.ended} == {Outcome.COMPLETED}
        await require_invariants(rig)


async def _all_talk(calls: list[Call], name: str, *, agents: int = 1) -> None:
    """Each caller says a line and is answered, by at least its so-many-eth agent."""
    for call in calls:

        async def is_there(call: Call = call) -> bool:
            status = await call.client.until(call.session_id, 120, state=SessionState.LIVE)
            return status.attempt >= agents

        await eventually(is_there, 120, f"agent {agents} of {call.session_id}")
        await call.until_heard()
        await call.type(f"My name is {name}.", expect=name)
