"""Slots: what one org may hold, what is logged, and which kind each activity belongs to."""

import inspect
import pkgutil
from datetime import timedelta
from importlib import import_module

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import activities
from activities.joining import (
    AGENT_NOT_SEEN,
    CHECKED_LATER,
    FIRST_PAUSE,
    AwaitAgent,
    JoinActivities,
)
from activities.shares import OrgShares
from adapters.temporal.task_queue import fair_to
from domain.errors import Unavailable
from domain.task_queues import DEFAULT_SLOTS, KIND_OF, URGENT, TaskKind
from tests.fakes.rooms import FakeRooms
from worker.slots import SlotUse


def names_of_activities() -> set[str]:
    """Every activity that is defined."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(activities.__path__):
        loaded = import_module(f"activities.{module.name}")
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            for name, member in inspect.getmembers(kind, inspect.isfunction):
                if hasattr(member, "__temporal_activity_definition"):
                    found.add(name)
    return found


def test_every_activity_has_a_kind_and_every_kind_slots() -> None:
    assert KIND_OF.keys() == names_of_activities()
    assert KIND_OF.keys() >= URGENT
    assert set(DEFAULT_SLOTS) == set(TaskKind) == set(KIND_OF.values())


def test_an_org_uses_what_is_free_except_for_the_reserve() -> None:
    shares = OrgShares(8, 0.25)
    holds = [shares.slot("flood") for _ in range(6)]
    for hold in holds:
        hold.__enter__()
    assert not shares.exceeded_by("flood")
    with shares.slot("other"):
        assert shares.exceeded_by("flood")
        assert not shares.exceeded_by("other")
        with pytest.raises(Unavailable) as refused, shares.slot_within_share("flood"):
            pass
        assert refused.value.retry_after
        with shares.slot_within_share("other"):
            pass
    assert not shares.exceeded_by("flood")
    for hold in holds:
        hold.__exit__(None, None, None)


def test_one_slot_can_be_used() -> None:
    with OrgShares(1, 0.25).slot_within_share("acme"):
        pass


async def test_a_join_above_the_orgs_share_is_checked_once_and_again_later() -> None:
    rooms, shares = FakeRooms(), OrgShares(2, 0.5)
    join = JoinActivities(rooms, shares=shares)
    order = AwaitAgent(org="flood", livekit_room="flood.room", attempt=1, timeout=60)
    with shares.slot("flood"), pytest.raises(ApplicationError) as later:
        await ActivityEnvironment().run(join.await_agent, order)
    assert (later.value.type, later.value.non_retryable) == (CHECKED_LATER, False)
    assert later.value.next_retry_delay == timedelta(seconds=FIRST_PAUSE)
    assert rooms.count("participants", "flood.room") == 1

    at_its_end = order.model_copy(update={"timeout": 0.0})
    with shares.slot("flood"), pytest.raises(ApplicationError) as never:
        await ActivityEnvironment().run(join.await_agent, at_its_end)
    assert (never.value.type, never.value.non_retryable) == (AGENT_NOT_SEEN, True)


def test_slots_that_are_all_in_use_are_logged_once_until_they_are_free() -> None:
    use = SlotUse(TaskKind.MODELS, 10)
    with capture_logs() as logs:
        for _ in range(2):
            for _ in range(10):
                use.begin()
            use.end()
            use.begin()
            for _ in range(10):
                use.end()
    told = [(entry["log_level"], entry["kind"]) for entry in logs]
    assert told == [("warning", "models"), ("info", "models")] * 2


@pytest.mark.parametrize("org", ["acme", "a" * 64, "a" * 65, "b" * 128])
def test_a_fairness_key_names_one_org_and_is_short_enough_for_temporal(org: str) -> None:
    key = fair_to(org).fairness_key
    assert key
    assert len(key) <= 64
    assert key != fair_to(f"{org}x"[-128:]).fairness_key
