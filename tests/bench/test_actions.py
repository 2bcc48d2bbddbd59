"""Billable actions, counted by hand in a recorded history."""

from pathlib import Path

from temporalio.client import WorkflowHistory

from bench.actions import billable_actions

RECORDED = Path(__file__).parents[1] / "replay" / "histories"


def _actions(name: str) -> dict[str, int]:
    text = (RECORDED / f"{name}.json").read_text(encoding="utf-8")
    return dict(billable_actions(WorkflowHistory.from_json(name, text)))


def test_a_call_pays_for_each_message_wait_and_step() -> None:
    assert _actions("completed") == {
        "workflow start": 1,
        "update": 2,
        "signal": 6,
        "timer": 4,
        "search attributes": 9,
        "activity": 7,
        "local activities of a task": 2,
        "child workflow": 2,
    }


def test_the_start_of_a_child_is_its_parents_action() -> None:
    assert _actions("completed-summary") == {"activity": 2, "local activities of a task": 1}
