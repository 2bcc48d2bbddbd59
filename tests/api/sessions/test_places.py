"""No place is lost and none is given twice, however a session ends or fails to begin."""

from collections.abc import AsyncGenerator

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from domain.ids import session_workflow_id
from domain.sessions.session import Outcome, SessionState
from tests.api.house import House, unique
from tests.api.sessions.fleet import Client, Fleet, Server, fleet_of
from tests.fakes.agents import Plays
from tests.fakes.rooms import Fault

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def fleet(house: House) -> AsyncGenerator[Fleet]:
    """One agent server with many places."""
    async with fleet_of(house, 20) as fleet:
        yield fleet


@pytest.fixture
async def acme(fleet: Fleet) -> Client:
    return await fleet.tenant()


async def test_every_end_of_a_call_releases_its_place(
    fleet: Fleet, house: House, acme: Client
) -> None:
    names = ("reported", "ended", "cancelled", "terminated", "room-lost", "lost")
    for name in names:
        await acme.live(name, max_replacements=0, report_grace=1)
    rooms = {name: (await acme.status(name)).room_name for name in names}
    await fleet.balances()

    await fleet.finish(rooms["reported"])
    await acme.end("ended")
    await house.temporal.get_workflow_handle(session_workflow_id(acme.key("cancelled"))).cancel()
    await house.terminate(acme.key("terminated"))
    # As the reaper does.
    house.rooms.rooms.pop(rooms["terminated"])
    house.rooms.rooms.pop(rooms["room-lost"])
    await acme.end("room-lost")
    await fleet.lose(rooms["lost"])

    assert (await acme.until("lost", state=SessionState.CLOSED)).outcome is Outcome.AGENT_LOST
    await fleet.is_empty()
    await fleet.balances()


async def test_a_session_whose_agent_never_came_releases_its_place(
    fleet: Fleet, house: House, acme: Client
) -> None:
    house.rooms.faults["dispatch", f"{acme.org}.refused"].append(Fault.REFUSED)
    await acme.start("refused")
    assert (await acme.until("refused", state=SessionState.CLOSED)).outcome is Outcome.AGENT_FAILED

    fleet.plays = Plays(appears=None)
    await acme.start("absent", join_timeout=0.5)
    absent = await acme.until("absent", state=SessionState.CLOSED)
    assert absent.outcome is Outcome.AGENT_NEVER_JOINED

    fleet.plays = Plays(foreign=True)
    await acme.live("external")
    await fleet.is_empty()
    # The same start again needs none either.
    assert (await acme.start("external")).is_success
    await fleet.is_empty()


async def test_a_replacement_keeps_the_place(fleet: Fleet, acme: Client) -> None:
    await fleet.resize(2)
    for name in ("a", "b"):
        await acme.live(name)
    await acme.start("c")
    await acme.until("c", state=SessionState.QUEUED)

    await fleet.lose((await acme.status("a")).room_name)

    await acme.until("a", joins=2)
    assert (await acme.status("c")).state is SessionState.QUEUED
    assert (fleet.dropped, fleet.most) == ([], 2)
    await fleet.balances()


async def test_a_new_server_is_for_the_calls_of_the_dead_one_first(
    fleet: Fleet, acme: Client
) -> None:
    await fleet.resize(2)
    for name in ("a", "b"):
        await acme.live(name)
    fleet.servers["two"] = Server(1)
    await acme.live("c")
    await acme.start("d")
    await acme.until("d", state=SessionState.QUEUED)

    await fleet.kill("one")
    fleet.servers["three"] = Server(2)
    await fleet.beats("three", 5)
    assert (await acme.status("d")).state is SessionState.QUEUED
    await fleet.tell_losses()

    for name in ("a", "b"):
        await acme.until(name, joins=2)
    assert fleet.dropped == []
    await acme.end("c")
    await acme.until("d", joins=1)
    await fleet.balances()


async def test_a_session_that_runs_again_after_its_end_leaves_no_place(
    fleet: Fleet, house: House, acme: Client
) -> None:
    await acme.live("reset")
    await acme.end("reset")
    await acme.until("reset", state=SessionState.CLOSED)
    workflow_id = session_workflow_id(acme.key("reset"))
    await house.temporal.get_workflow_handle(workflow_id).result()
    await _reset(house, workflow_id)

    # Temporal delivers the end to the new run as well.
    await house.temporal.get_workflow_handle(workflow_id).result()
    await fleet.is_empty()
    await fleet.balances()


async def _reset(house: House, workflow_id: str) -> None:
    """Have a workflow run again from its first task."""
    history = await house.temporal.get_workflow_handle(workflow_id).fetch_history()
    tasks = (e for e in history.events if e.HasField("workflow_task_completed_event_attributes"))
    await house.temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            reason="a test",
            workflow_task_finish_event_id=next(tasks).event_id,
            request_id=unique("reset"),
        )
    )
