"""Reports that are too large, and reports that were cut."""

import pytest

from tests.api.door import Door, is_problem
from tests.fakes.agents import Plays
from tests.harness.agent_callbacks import report

SILENT = Plays(report_when_told=False, report_when_removed=False)


@pytest.mark.parametrize(
    ("left_out", "outcome"),
    [(["sdk_report", "turns"], "completed"), (["sdk_report"], "caller_never_joined")],
)
async def test_a_report_without_its_turns_does_not_say_that_the_caller_never_spoke(
    door: Door, left_out: list[str], outcome: str
) -> None:
    call = await door.studio.call(SILENT).live(with_caller=False)
    answer = await door.http.post(
        "/session/observability", json=report(left_out=left_out), headers=door.as_agent(call.key)
    )

    assert answer.status_code == 200
    assert (await call.closed()).ended == (outcome, "agent_ended")


async def test_an_external_agent_is_told_what_to_leave_out_of_a_report(door: Door) -> None:
    large = {"room": "acme.front", "events": ["x" * 4 * 1024 * 1024]}
    answer = await door.http.post("/session/observability", json=large)

    assert is_problem(answer, 413, "content_too_large")
    [fault] = answer.json()["errors"]
    assert "leave out `events`" in fault["cure"]
    assert "/v1/sessions/{session_id}/turns" in fault["cure"]
