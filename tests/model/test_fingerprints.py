"""The steps of a session on each way to its end are those that are written down.

An open session is continued by new code, which has to take the steps that its history tells. So a
change of the steps shows here as a difference of a text file, and is made as
`docs/development/workflow-changes.md` says.
"""

from pathlib import Path

import pytest

from tests.model.paths import PATHS

FOLDER = Path(__file__).parent / "fingerprints"
CHANGED = """the workflow takes other steps than tests/model/fingerprints/{name}.txt says.
If that is meant: put the change behind a patch (docs/development/workflow-changes.md), then run
`pytest tests/model --update-fingerprints` and read the difference."""


def test_each_path_has_its_file() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == PATHS.keys()


@pytest.mark.parametrize("name", PATHS)
def test_the_steps_are_those_that_are_written_down(
    name: str, request: pytest.FixtureRequest
) -> None:
    path = PATHS[name].begin()
    PATHS[name].play(path)
    assert path.simulation.result is not None, path.simulation.status()
    path.simulation.replay()
    file, steps = FOLDER / f"{name}.txt", "\n".join(path.simulation.trace) + "\n"
    if request.config.getoption("--update-fingerprints"):
        file.write_text(steps, encoding="utf-8")
    assert steps == file.read_text(encoding="utf-8"), CHANGED.format(name=name)
