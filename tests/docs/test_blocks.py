"""The code blocks of the documents, run against a running stack as a reader would."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from domain.agents.config import AgentConfig
from domain.sessions.session import Outcome
from tests.harness.call import BOOK
from tests.harness.plain_agents import plain_agents
from tests.harness.rig import Rig, running_rig

ROOT = Path(__file__).parents[2]
RESTARTS_THE_STACK = "docs/how-to/your-own-models.md"
DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
OTHER_LANGUAGES = {"http", "ini", "js", "json", "mermaid", "sql", "text"}
"""Of blocks that are no commands and no Python."""
NOT_RUN = {
    "make demo": "tests/stack/demo",
    "make up": "this stack is running",
    "make check": "this is one of them",
    "make setup": "this is one of them",
    "make chaos": "tests/chaos",
    "curl -sSf https://temporal.download": "it installs software",
    "docker compose": "tests/deploy",
    "npx openapi-typescript": "it installs software",
    ".venv/bin/everline stop agent\nexport LIVEKIT_URL": "test_the_external_agent_…",
}
"""How blocks begin that are not run here, and why, or where they are run."""
SECONDS = 300


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of each block."""
    return BLOCK.findall((ROOT / document).read_text("utf-8"))


def commands(document: str) -> list[str]:
    """The blocks of commands that are run, in the order of the page."""
    left_out = tuple(NOT_RUN)
    return [
        text for kind, text in blocks(document) if kind == "bash" and not text.startswith(left_out)
    ]


def programs(document: str) -> str:
    """The Python blocks of a page are one program; whole examples have tests of their own."""
    examples = {path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")}
    return "\n".join(
        text for kind, text in blocks(document) if kind == "python" and text not in examples
    )


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    """A stack for this module alone: the documents change it."""
    async with running_rig(tmp_path_factory.mktemp("documents")) as rig:
        yield rig


def printed(text: str, rig: Rig) -> str:
    """The text, with the ports of this stack."""
    urls, ports = rig.stack.urls, rig.stack.ports
    assert urls.livekit is not None
    return (
        text.replace("http://localhost:4000", urls.api or "")
        .replace("ws://localhost:7880", urls.livekit)
        .replace("http://localhost:4010", f"http://127.0.0.1:{ports.models}")
        .replace("localhost:7233", urls.temporal or "")
    )


def environment(rig: Rig, folder: Path) -> dict[str, str]:
    """A reader's shell, whose curl fails where the API refuses."""
    (folder / ".curlrc").write_text("fail-with-body\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "CURL_HOME": str(folder),
        "EVERLINE_HOME": str(rig.stack.home.root),
    }


async def run(text: str, env: dict[str, str], *words: str) -> str:
    """Run commands in the repository, and what they started in the background, to the end."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", f"{text}\nwait", *words),
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_says_what_it_is(document: str) -> None:
    kinds = {kind for kind, _ in blocks(document)}
    assert kinds <= OTHER_LANGUAGES | {"bash", "python"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_json_blocks_are_json_and_configurations_are_valid(document: str) -> None:
    for kind, text in blocks(document):
        if kind == "json":
            read = json.loads(text)
            if document in ("docs/how-to/tools.md", RESTARTS_THE_STACK):
                AgentConfig.model_validate(read)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if commands(name) and name != RESTARTS_THE_STACK]
)
async def test_commands_run_as_printed(stack: Rig, document: str, tmp_path: Path) -> None:
    if document == "docs/how-to/operations.md":  # it looks at a session of the README
        await stack.client.http.post("/v1/sessions/start", json={"session_id": "call-2"})
    await run(printed("\n".join(commands(document)), stack), environment(stack, tmp_path))


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if programs(name)])
async def test_programs_run_as_printed(stack: Rig, document: str, tmp_path: Path) -> None:
    exported = [line for line in "\n".join(commands(document)).split("\n") if "export " in line]
    text = "\n".join([*exported, f'exec {sys.executable} -c "$0"'])
    env = environment(stack, tmp_path) | {"API": stack.stack.urls.api or ""}
    await run(printed(text, stack), env, programs(document))


@pytest.mark.timeout(SECONDS + 60)
async def test_the_external_agent_of_the_guide_talks_and_hands_in_its_report(
    stack: Rig, tmp_path: Path
) -> None:
    guide = "docs/how-to/external-agents.md"
    example = "examples/external_agent.py"
    assert ("python", (ROOT / example).read_text("utf-8")) in blocks(guide)
    [text] = [text for kind, text in blocks(guide) if kind == "bash"]
    command = printed(text, stack).replace(".venv/bin/python", f"exec {sys.executable}")
    env = environment(stack, tmp_path)
    words = [f"{name}={value}" for name, value in env.items()]
    async with plain_agents(
        stack, tmp_path, ["env", "-C", str(ROOT), *words, "bash", "-euc", command]
    ):
        started = await stack.client.start(limits={"report_grace": 30, "join_timeout": 40})
        async with stack.joined(started) as call:
            await call.until_present()
            await call.answer(0, "help you")
            await call.say(BOOK)
        closed = await stack.client.closed(started.key.session_id)
    assert closed.outcome is Outcome.COMPLETED
    transcript = await stack.client.transcript(started.key.session_id)
    assert transcript.header is not None
    assert transcript.header.complete, "its report came"


@pytest.mark.timeout(SECONDS + 60)
async def test_commands_that_restart_the_stack_run_last(stack: Rig, tmp_path: Path) -> None:
    text = "\n".join(commands(RESTARTS_THE_STACK))
    # Nobody calls, so nobody needs the speech models, which take longest to load.
    env = environment(stack, tmp_path) | {"EVERLINE_WITHOUT": "models"}
    await run(printed(text, stack), env)
