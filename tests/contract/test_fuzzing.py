"""The OpenAPI document against the running API, by schemathesis with every check.

No answer is a 5xx, outside its schema or of a status that is not documented; nothing is accepted
that the schema forbids, and nothing refused that it allows, but for the rules in schemathesis.toml.
`make fuzz` runs it for long.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.memory_agent_servers import MemoryAgentServers
from domain.agents.servers import Heartbeat
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from tests.api.house import PATIENT, House, Tenant
from tests.contract.serving import serving
from tests.workflows.studio import CALLBACK_SECRET

ROOT = Path(__file__).parents[2]
ORG, SESSION = "acme", "fuzzed"
# The body of these has a whole configuration, with as many cases as all other routes together.
SAME_BODY = ("POST /session", "POST /agents", "PUT /agents/{agentId}")
# The same cases each time: what the long form finds is mended there, not met by chance here.
SAME = ("--max-examples", "3", "--generation-deterministic")
SHORT = (
    ("--phases", "examples,coverage,fuzzing", *SAME, *(f"--exclude-name={n}" for n in SAME_BODY)),
    ("--phases", "examples,fuzzing", *SAME, *(f"--include-name={n}" for n in SAME_BODY)),
)
LONG = (("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "60"),)


class Answers:
    """Counts the answers of an app by status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.counts = Counter[int]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.counts[message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted)


@dataclass(frozen=True)
class Target:
    """A running API with an agent server and an open session, and keys for it."""

    url: str
    keys: dict[str, str]
    answers: Answers


@pytest.fixture
async def api(house: House) -> AsyncGenerator[Target]:
    key = await house.key(ORG, scopes=("read", "write", "keys"), is_admin=True)
    beat = Heartbeat(server_id="fuzz", agent_name="test-agent", max_jobs=10)
    # It never beats again, and is to be heard of for as long as this takes.
    servers = MemoryAgentServers()
    await servers.record(beat, datetime.now(UTC) + timedelta(days=1))
    async with house.open(agent_servers=servers) as app, serving(answers := Answers(app)) as url:
        started = await Tenant(app, key).start(SESSION, limits=PATIENT)
        assert started.status_code == 202, started.text
        claims = CallbackClaims(
            org=ORG, session_id=SESSION, attempt=1, expires=int(time.time()) + 36_000
        )
        token = callback_token.mint(CALLBACK_SECRET, claims)
        keys = {"EVERLINE_FUZZ_KEY": key, "EVERLINE_FUZZ_TOKEN": token}
        yield Target(url, keys, answers)
    await house.quiet()


async def fuzz(api: Target, how: Sequence[str]) -> tuple[int, str]:
    """Exit code and report of schemathesis."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(ROOT / "tests/contract/schemathesis.toml"), "--no-color"),
        *("run", f"{api.url}/openapi.json", "--checks", "all", *how),
        cwd=ROOT,
        env={**os.environ, **api.keys, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(14_400)
async def test_the_api_keeps_what_its_document_says(
    api: Target, request: pytest.FixtureRequest
) -> None:
    for how in LONG if request.config.getoption("--fuzz-long") else SHORT:
        code, report = await fuzz(api, how)
        assert code == 0, report
    counts = api.answers.counts
    assert counts.total() > 1_000, "hardly anything was tried"
    assert counts[200] + counts[201] + counts[202] > counts.total() / 50, "all was refused"
    assert counts[503] < counts.total() / 50, f"too often something was away: {counts}"
