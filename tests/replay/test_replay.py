"""Every recorded history still replays: a change of the workflows must not strand open sessions.

The histories are real ones, one for each way to end, recorded by `make record-histories` and
decoded to plain JSON. When a test here fails, the change needs `workflow.patched`, or, before the
first release, new recordings.
"""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory

from adapters.temporal.encryption import data_converter
from tests.invariants import failed_tasks
from tests.replaying import replay

FOLDER = Path(__file__).parent / "histories"
HISTORIES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}
PATHS = {
    *("completed", "report_missing", "agent_never_joined", "agent_failed"),
    *("caller_never_joined", "replaced_agent", "cancelled", "archive_deferred"),
}


def test_there_is_a_history_for_each_way_to_end() -> None:
    assert {name.partition("-")[0] for name in HISTORIES} == PATHS


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_recorded_history_replays(name: str) -> None:
    history = WorkflowHistory.from_json(name, HISTORIES[name])
    # The recordings are in clear; the key is only what the codec asks for.
    converter = data_converter({"unused": bytes(32)})
    await replay(history, converter)
    assert failed_tasks(history) == []


async def test_a_history_of_another_story_does_not_replay() -> None:
    other = HISTORIES["completed"].replace('"dispatch_agent"', '"tampered"')
    assert other != HISTORIES["completed"]
    history = WorkflowHistory.from_json("completed", other)
    converter = data_converter({"unused": bytes(32)})
    with pytest.raises(workflow.NondeterminismError):
        await replay(history, converter)
