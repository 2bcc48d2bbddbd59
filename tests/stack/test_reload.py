"""`everline up --reload`: edited sources lead to restarted parts."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from stack.layout.home import CHECKOUT
from stack.supervision.reload import SOURCES
from tests.stack.test_supervisor import Running, fake_stack, until

pytestmark = pytest.mark.timeout(600)


async def test_an_edited_file_restarts_the_parts_that_import_it(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    for folder in ("api", "worker", "domain", "agent"):
        (sources / folder).mkdir(parents=True)
    async with fake_stack(tmp_path / "home", "worker", sources) as stack:
        await stack.until("running")
        untouched = [stack.pid(name) for name in ("temporal", "agent")]

        (sources / "agent" / "job.py").write_text("")
        (sources / "domain" / "notes.txt").write_text("")
        await edit_until(stack, sources / "domain" / "ids.py", {"api": 2, "worker": 2})
        await edit_until(stack, sources / "api" / "app.py", {"api": 3, "worker": 2})
        await edit_until(stack, sources / "worker" / "main.py", {"api": 3, "worker": 3})

        assert [stack.pid(name) for name in ("temporal", "agent")] == untouched
        code, output = await stack.end()
    assert code == 0
    assert output.count("sources changed; restarting") == 3
    assert stack.events()[-4:-3] == ["stop agent"]


async def test_code_that_does_not_start_is_tried_again_after_the_next_edit(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "api").mkdir(parents=True)
    async with fake_stack(tmp_path / "home", "fragile-api", sources) as stack:
        await stack.until("running")
        (stack.home.root / "broken").touch()
        (sources / "api" / "app.py").write_text("1")
        await until(lambda: stack.stack.process("api").state == "failed", "the api has failed")
        (stack.home.root / "broken").unlink()
        (sources / "api" / "app.py").write_text("2")
        await stack.until("running")
        code, _ = await stack.end()
    assert code == 0
    assert stack.events().count("start api") == 2


@pytest.mark.parametrize("part", SOURCES)
def test_the_watched_packages_are_those_that_a_part_imports(part: str) -> None:
    program = f"import sys, {part}.main; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    ours = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")}
    assert ours & set(loaded.stdout.split()) <= set(SOURCES[part])


async def edit_until(stack: Running, file: Path, starts: dict[str, int]) -> None:
    """Edit a file once and wait until each part was started so often and all runs."""
    await asyncio.to_thread(file.write_text, "")
    await until(
        lambda: {name: stack.events().count(f"start {name}") for name in starts} == starts,
        f"{file.name} led to {starts}",
    )
    await stack.until("running")
