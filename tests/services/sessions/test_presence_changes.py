"""A caller who reconnects in a loop does not flood its session."""

from datetime import UTC, datetime
from typing import cast

import pytest

from domain.errors import MessageRefused, Unavailable
from domain.ids import SessionKey
from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from domain.sessions.ports import Sessions, Signal
from domain.sessions.presence import Presence
from services.sessions.presence_changes import AT_ONCE, PresenceChanges, pause_after
from tests.waiting import eventually

KEY = SessionKey("acme", "s-1")
JOINED, LEFT = ParticipantChange.JOINED, ParticipantChange.LEFT


class Told:
    """A session that notes what it is told."""

    def __init__(self) -> None:
        self.signals: list[ParticipantChanged] = []
        self.down = False
        self.full = False

    async def signal(self, key: SessionKey, message: Signal) -> bool:
        if self.down:
            raise Unavailable("Temporal does not answer")
        if self.full:
            raise MessageRefused("Temporal takes no more signals for it")
        assert isinstance(message, ParticipantChanged)
        self.signals.append(message)
        return True

    def presence(self) -> Presence:
        presence = Presence()
        for change in self.signals:
            presence.apply(change, datetime.now(UTC))
        return presence


def _change(change: ParticipantChange, number: int, identity: str = "ann") -> ParticipantChanged:
    return ParticipantChanged(
        event_id=f"{change}:{identity}:{number}",
        change=change,
        identity=identity,
        sid=f"PA_{identity}_{number}",
        kind=ParticipantKind.CALLER,
    )


def _changes(told: Told, pause: float = 0.05) -> PresenceChanges:
    return PresenceChanges(cast(Sessions, told), pause=lambda merged: pause)


async def _reconnects(changes: PresenceChanges, times: int, identity: str = "ann") -> None:
    for number in range(times):
        await changes.tell(KEY, _change(JOINED, number, identity))
        await changes.tell(KEY, _change(LEFT, number, identity))


@pytest.mark.parametrize("stays", [True, False])
async def test_a_thousand_reconnects_are_a_few_signals(stays: bool) -> None:
    told = Told()
    changes = _changes(told)
    await _reconnects(changes, 1000)
    await changes.tell(KEY, _change(JOINED, 1000))
    if not stays:
        await changes.tell(KEY, _change(LEFT, 1000))
    first = AT_ONCE + (1 if stays else 0)

    await eventually(lambda: len(told.signals) == first, what="the merged changes are told")

    assert told.presence().present == stays
    await changes.aclose()


async def test_the_end_of_a_connection_that_the_session_knows_is_told() -> None:
    told = Told()
    changes = _changes(told)
    await _reconnects(changes, AT_ONCE // 2 - 1)
    await changes.tell(KEY, _change(JOINED, 500))
    await changes.tell(KEY, _change(JOINED, 501))
    assert len(told.signals) == AT_ONCE

    await changes.tell(KEY, _change(LEFT, 500))
    await changes.tell(KEY, _change(LEFT, 501))
    await eventually(lambda: not told.presence().present, what="the caller is gone")
    await changes.aclose()


async def test_whoever_came_only_between_two_merges_was_there() -> None:
    told = Told()
    changes = _changes(told)
    await _reconnects(changes, AT_ONCE, "bob")
    await _reconnects(changes, 1, "ann")

    await eventually(lambda: told.signals[-1].identity == "ann", what="the visit is told")

    assert told.signals[-1].change is LEFT
    await changes.aclose()


async def test_the_end_of_the_room_is_told_at_once() -> None:
    told = Told()
    changes = _changes(told, pause=3600)
    await _reconnects(changes, 100)
    over = ParticipantChanged(event_id="over", change=ParticipantChange.ROOM_FINISHED)

    assert await changes.tell(KEY, over)

    assert (len(told.signals), told.signals[-1]) == (AT_ONCE + 1, over)
    await changes.aclose()


async def test_a_change_that_is_told_at_once_fails_as_before() -> None:
    told = Told()
    told.down = True

    with pytest.raises(Unavailable):
        await _changes(told).tell(KEY, _change(JOINED, 1))


def test_a_day_of_reconnects_stays_within_the_budget_of_events() -> None:
    merged, seconds = 0, 0.0
    while seconds < 86_400:
        seconds += pause_after(merged)
        merged += 1

    events_of_a_signal, signals_of_a_merge, processes = 12, 2, 3
    signals = processes * (AT_ONCE + signals_of_a_merge * merged)
    assert events_of_a_signal * signals < 5_000 - 100


async def test_the_end_of_an_agent_is_told_at_once() -> None:
    told = Told()
    changes = _changes(told, pause=3600)
    await _reconnects(changes, 100)
    agent = _change(LEFT, 1, "agent-AJ_1").model_copy(update={"kind": ParticipantKind.AGENT})

    assert await changes.tell(KEY, agent)

    assert told.signals[-1] == agent
    await changes.aclose()


async def test_a_change_that_a_session_cannot_be_told_is_not_sent_again_by_livekit() -> None:
    told = Told()
    told.full = True

    assert not await _changes(told).tell(KEY, _change(JOINED, 1))
