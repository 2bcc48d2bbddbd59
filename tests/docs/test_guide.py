"""The blocks of docs/tutorial/api-guide.md, run against the API as a reader would."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.api.house import House, unique
from tests.contract.seed_agent import seed_agents
from tests.contract.serving import serving

GUIDE = (Path(__file__).parents[2] / "docs" / "tutorial" / "api-guide.md").read_text("utf-8")


def blocks(language: str) -> str:
    """All blocks of a language, one after the other."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE))


@pytest.fixture
async def environment(house: House) -> AsyncGenerator[dict[str, str]]:
    """A running API whose agents come when they are dispatched."""
    key = await house.key(unique("guide"), scopes=("read", "write", "keys"))
    with seed_agents(house):
        async with house.open() as app, serving(app) as url:
            yield {"API": url, "KEY": key, "PATH": os.environ["PATH"]}
    await house.quiet()


BASH = ("bash", "-euo", "pipefail", "-c")

# The reader's shell: what the first block does not export reaches no program of theirs.
SETTING_OUT = f"export -n API KEY; {blocks('bash').partition('curl')[0]}"


@pytest.mark.parametrize(
    ("command", "language"),
    [
        ((*BASH, f'{SETTING_OUT}\nexec "$@"', "bash", sys.executable, "-c"), "python"),
        (BASH, "bash"),
    ],
)
async def test_its_blocks_work(
    environment: dict[str, str], command: tuple[str, ...], language: str
) -> None:
    text = blocks(language)
    assert text.count("\n") > 10

    process = await asyncio.create_subprocess_exec(
        *(*command, text),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
