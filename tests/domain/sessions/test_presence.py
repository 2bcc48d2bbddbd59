"""Who is in the room, from events in whatever order they come."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from domain.sessions.presence import Presence
from domain.sessions.session import SessionLimits

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOINED, LEFT = ParticipantChange.JOINED, ParticipantChange.LEFT
NOT_SEEN, NOT_CONNECTED = ParticipantChange.NOT_SEEN, ParticipantChange.NOT_CONNECTED


def _event(
    change: ParticipantChange, sid: str | None, number: int = 0, detail: str | None = None
) -> ParticipantChanged:
    return ParticipantChanged(
        detail=detail,
        event_id=f"{change}-{sid}-{number}",
        change=change,
        identity="caller",
        sid=sid,
        kind=ParticipantKind.CALLER,
    )


def _after(*events: ParticipantChanged) -> Presence:
    presence = Presence()
    for second, event in enumerate(events):
        presence.apply(event, NOON + timedelta(seconds=second))
    return presence


def test_nobody_came_yet() -> None:
    presence = Presence()

    assert (presence.present, presence.ever_came, presence.left_at) == (False, False, None)


def test_a_caller_comes_and_leaves() -> None:
    here = _after(_event(JOINED, "PA_1"))
    gone = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1"))

    assert (here.present, here.ever_came, here.left_at) == (True, True, None)
    assert (gone.present, gone.ever_came) == (False, True)
    assert gone.left_at == NOON + timedelta(seconds=1)


def test_a_reload_is_heard_of_in_either_order() -> None:
    first = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1"), _event(JOINED, "PA_2"))
    second = _after(_event(JOINED, "PA_1"), _event(JOINED, "PA_2"), _event(LEFT, "PA_1"))

    assert first.present
    assert second.present
    assert first.left_at is second.left_at is None


def test_a_leave_that_overtook_its_join_stays_a_leave() -> None:
    presence = _after(_event(LEFT, "PA_1"), _event(JOINED, "PA_1"))

    assert (presence.present, presence.ever_came) == (False, True)
    assert presence.left_at == NOON


def test_a_repeated_leave_does_not_prolong_the_wait_for_the_caller() -> None:
    presence = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1"), _event(LEFT, "PA_1", 2))

    assert presence.left_at == NOON + timedelta(seconds=1)


def test_it_tells_whether_anything_changed() -> None:
    presence = Presence()

    assert presence.apply(_event(JOINED, "PA_1"), NOON)
    assert not presence.apply(_event(JOINED, "PA_1", 2), NOON)
    assert not presence.apply(_event(JOINED, "PA_2"), NOON)
    assert not presence.apply(_event(LEFT, "PA_2"), NOON)
    assert presence.apply(_event(LEFT, "PA_1"), NOON)


def test_without_connection_ids_the_identity_tells() -> None:
    assert _after(_event(JOINED, None)).present
    assert not _after(_event(JOINED, None), _event(LEFT, None)).present


connections = st.lists(st.booleans(), min_size=1, max_size=5)
"""For each connection, whether it has ended."""


@given(connections, st.randoms(use_true_random=False), st.integers(1, 3))
def test_any_order_and_repetition_of_events_gives_the_same_presence(
    ended: list[bool], chance: Random, times: int
) -> None:
    events = [_event(JOINED, f"PA_{n}") for n in range(len(ended))]
    events += [_event(LEFT, f"PA_{n}") for n, over in enumerate(ended) if over]
    shuffled = events * times
    chance.shuffle(shuffled)

    presence = _after(*shuffled)

    assert presence.present == (not all(ended))
    assert presence.ever_came
    assert (presence.left_at is None) == presence.present


def test_a_caller_who_never_came_is_missed_once_the_agent_is_there() -> None:
    limits = SessionLimits(caller_wait=60, caller_return=30)
    nobody = Presence()

    assert nobody.missed_at(None, limits) is None
    assert nobody.missed_at(NOON, limits) == NOON + timedelta(seconds=60)


def test_a_caller_who_left_may_return_for_a_while() -> None:
    limits = SessionLimits(caller_wait=60, caller_return=30)
    here, gone = _after(_event(JOINED, "a")), _after(_event(JOINED, "a"), _event(LEFT, "a"))

    assert here.missed_at(NOON, limits) is None
    assert gone.left_at is not None
    assert gone.missed_at(NOON, limits) == gone.left_at + timedelta(seconds=30)


def test_a_connection_that_a_check_did_not_find_may_be_found_again() -> None:
    missed = _after(_event(JOINED, "PA_1"), _event(NOT_SEEN, "PA_1"))
    found = _after(_event(JOINED, "PA_1"), _event(NOT_SEEN, "PA_1"), _event(JOINED, "PA_1", 2))
    left = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1"), _event(JOINED, "PA_1", 2))

    assert (missed.present, missed.left_at) == (False, NOON + timedelta(seconds=1))
    assert (found.present, found.left_at) == (True, None)
    assert not left.present, "a connection that LiveKit has ended never lives again"


def test_what_nobody_has_heard_of_is_not_missed() -> None:
    presence = _after(_event(NOT_SEEN, "PA_1"))

    assert (presence.ever_came, presence.left_at) == (False, None)


def test_who_has_spoken_was_there_until_now() -> None:
    presence = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1"))
    presence.heard(NOON + timedelta(seconds=20))
    unseen = Presence()
    unseen.heard(NOON)

    assert presence.left_at == NOON + timedelta(seconds=20)
    assert (unseen.present, unseen.ever_came, unseen.left_at) == (False, True, NOON)


@pytest.mark.parametrize(
    ("detail", "hangup_return", "away"),
    [
        ("client_initiated", 5, 5),
        ("client_initiated", 90, 30),
        ("client_initiated", None, 30),
        ("connection_timeout", 5, 30),
        (None, 5, 30),
    ],
)
def test_a_hang_up_ends_a_call_sooner_than_a_lost_connection(
    detail: str | None, hangup_return: float | None, away: float
) -> None:
    limits = SessionLimits(caller_return=30, caller_hangup_return=hangup_return)
    gone = _after(_event(JOINED, "PA_1"), _event(LEFT, "PA_1", detail=detail))

    assert gone.missed_at(NOON, limits) == NOON + timedelta(seconds=1 + away)


def test_the_last_connection_that_ends_says_whether_the_caller_hung_up() -> None:
    limits = SessionLimits(caller_return=30, caller_hangup_return=5)
    two = [_event(JOINED, "PA_1"), _event(JOINED, "PA_2")]
    gone = _after(
        *two,
        _event(LEFT, "PA_1", detail="client_initiated"),
        _event(LEFT, "PA_2", detail="connection_timeout"),
    )

    assert gone.missed_at(NOON, limits) == NOON + timedelta(seconds=3 + 30)


def test_a_connection_that_failed_is_neither_a_coming_nor_a_leaving() -> None:
    failed = _after(_event(NOT_CONNECTED, "PA_1"))
    broken = _after(_event(JOINED, "PA_1"), _event(NOT_CONNECTED, "PA_1"))
    beside = _after(_event(JOINED, "PA_1"), _event(NOT_CONNECTED, "PA_2"))

    assert (failed.ever_came, failed.left_at, failed.came_at) == (False, None, None)
    assert (broken.present, broken.ever_came) == (False, True)
    assert beside.present
