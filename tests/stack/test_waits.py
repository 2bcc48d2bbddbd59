"""A command that takes long says what it waits for; one that does not says nothing."""

import asyncio
import sys
from pathlib import Path

import pytest

from stack.waits import SAID_AFTER, agent_to_join, waiting_for
from tests.servers import free_port
from tests.waiting import eventually


async def test_a_long_wait_is_said_with_its_reason() -> None:
    said: list[str] = []
    with waiting_for(lambda: "the agent: none is there", said.append, after=0.05):
        await eventually(lambda: bool(said))

    assert said[0].startswith("… waiting for the agent: none is there ")


def test_a_short_wait_is_not_said() -> None:
    said: list[str] = []
    with waiting_for("nothing", said.append):
        pass
    assert said == []


def test_a_person_does_not_look_at_nothing_for_long() -> None:
    assert SAID_AFTER <= 3


def test_what_went_wrong_is_raised_all_the_same() -> None:
    with pytest.raises(ValueError, match="wrong"), waiting_for("nothing"):
        raise ValueError("wrong")


def test_an_api_that_does_not_answer_is_what_a_start_waits_for() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert agent_to_join(url).startswith(f"the API: {url}/health/agent does not answer")


@pytest.mark.timeout(120)
async def test_it_is_said_on_standard_error(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time\nfrom stack.waits import waiting_for\n"
        "with waiting_for('a thing', after=0.1):\n    time.sleep(1)\nprint('done')\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program)),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert output == b"done\n"
    assert errors.decode().startswith("… waiting for a thing ")
