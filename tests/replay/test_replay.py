"""Every recorded history still replays: a change of the workflows must not strand open sessions.

The histories are real ones, one for each way to end, recorded by `make record-histories` and
decoded to plain JSON: a folder for each release, and beside them those from before the first
folder. When a test here fails, the change needs `workflow.patched`
(`docs/development/workflow-changes.md`).
"""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory

from adapters.temporal.encryption import data_converter
from tests.invariants import failed_tasks
from tests.replay.record import FOLDER, NAMES
from tests.replaying import replay

ALL = Path(__file__).parent / "histories"

HISTORIES = {
    str(path.relative_to(ALL).with_suffix("")): path.read_text(encoding="utf-8")
    for path in sorted(ALL.rglob("*.json"))
}


def test_every_history_of_this_release_is_of_a_known_way_to_end() -> None:
    recorded = {path.stem.partition("-")[0] for path in FOLDER.glob("*.json")}
    assert recorded <= set(NAMES)


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
