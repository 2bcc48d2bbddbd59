"""Lost jobs are told to all sessions that can be told, whatever some of them do."""

import asyncio
from contextlib import suppress

import pytest

from domain.agents.servers import LostJob
from domain.errors import EverlineError, InvalidInput, MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import AgentLost
from services.agents.losses import SECONDS, LostJobs


class Temporal:
    """Sessions that take a while, refuse, or hang."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.down = False
        self.refused: dict[str, EverlineError] = {}
        self.hanging: set[str] = set()
        self.told: list[str] = []
        self.at_once = self.most_at_once = 0

    async def signal(self, key: SessionKey, message: AgentLost) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.down:
                raise Unavailable("Temporal does not answer")
            await asyncio.sleep(3_600 if key.session_id in self.hanging else self.seconds)
        finally:
            self.at_once -= 1
        if key.session_id in self.refused:
            raise self.refused[key.session_id]
        self.told.append(key.session_id)
        return True


def _lost(number: int) -> LostJob:
    return LostJob(
        job_id=f"AJ_{number}",
        org="acme",
        session_id=f"s-{number}",
        attempt=1,
        reason="its process ended with code -9",
    )


def _jobs(temporal: Temporal) -> LostJobs:
    return LostJobs(temporal.signal)


@pytest.mark.parametrize("error", [MessageRefused("its limit is reached"), InvalidInput("no")])
async def test_a_session_that_refuses_keeps_no_other_from_being_told(error: EverlineError) -> None:
    temporal = Temporal()
    jobs = _jobs(temporal)
    temporal.refused["s-0"] = error

    await jobs.tell([_lost(number) for number in range(5)])
    assert sorted(temporal.told) == ["s-1", "s-2", "s-3", "s-4"]

    temporal.refused.clear()
    await jobs.tell([])
    assert temporal.told[-1] == "s-0", "tried again with the next heartbeat"
    await jobs.tell([_lost(0)])
    assert len(temporal.told) == 5


async def test_a_refused_loss_is_no_reason_to_send_another_heartbeat_again() -> None:
    temporal = Temporal()
    jobs = _jobs(temporal)
    temporal.refused["s-0"] = MessageRefused("its limit is reached")
    await jobs.tell([_lost(0)])
    temporal.down = True

    await jobs.tell([])
    with pytest.raises(Unavailable):
        await jobs.tell([_lost(1)])


async def test_many_losses_are_told_at_the_same_time_within_a_bound() -> None:
    temporal = Temporal()
    temporal.seconds = 0.1

    await _jobs(temporal).tell([_lost(number) for number in range(100)])

    assert len(temporal.told) == 100
    assert 1 < temporal.most_at_once <= 20


async def test_the_last_of_many_losses_is_reached() -> None:
    temporal = Temporal()
    temporal.seconds = SECONDS / 4
    lost = [_lost(number) for number in range(150)]
    jobs = _jobs(temporal)

    with pytest.raises(Unavailable, match="in time"):
        await jobs.tell(lost)
    for _ in range(6):
        with suppress(Unavailable):
            await jobs.tell(lost)

    assert len(temporal.told) == len(set(temporal.told)) == len(lost)


async def test_sessions_that_hang_do_not_keep_the_others() -> None:
    temporal = Temporal()
    lost = [_lost(number) for number in range(60)]
    temporal.hanging = {f"s-{number}" for number in range(30)}
    jobs = _jobs(temporal)

    for _ in range(10):
        with pytest.raises(Unavailable):
            await jobs.tell(lost)
        if len(temporal.told) == 30:
            break

    assert len(temporal.told) == 30
