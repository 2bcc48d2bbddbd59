"""The seed's tables of environment variables, on real processes.

They start with the seed's variables alone, and end at once without a required one.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from adapters.livekit.signatures import WEBHOOK, sign_body
from tests.servers import free_port
from tests.waiting import eventually

LIVEKIT = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "APIkey",
    "LIVEKIT_API_SECRET": "canary-livekit-secret-of-40-characters--",
}
PAGOS = {"PAGOS_API_URL": "http://127.0.0.1:9", "PAGOS_ADMIN_TOKEN": "canary-token"}
REQUIRED = {
    "api.main": LIVEKIT | PAGOS,
    "worker.main": LIVEKIT,
    "agent.server.main": LIVEKIT,
}
"""What the seed's table requires, by process."""
NOBODY = {"TEMPORAL_ADDRESS": "127.0.0.1:9"}
"""Not a setting of the seed's: the default may be somebody's Temporal."""
NOTE = "secrets are derived from LIVEKIT_API_SECRET"

pytestmark = pytest.mark.timeout(300)


@dataclass
class Running:
    """A process of Everline's, and what it has written."""

    process: asyncio.subprocess.Process
    log: Path

    def has_logged(self, text: str) -> bool:
        return text in self.log.read_text()


@asynccontextmanager
async def running(
    module: str, folder: Path, environment: Mapping[str, str]
) -> AsyncGenerator[Running]:
    """The process, with these variables alone."""
    log = folder / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield Running(process, log)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def api(folder: Path, **variables: str) -> AsyncGenerator[tuple[httpx.AsyncClient, Running]]:
    """The API with the seed's required variables, `PORT` and these."""
    port = str(free_port())
    given = REQUIRED["api.main"] | NOBODY | {"PORT": port} | variables
    async with (
        running("api.main", folder, given) as started,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):

        async def answers() -> bool:
            assert started.process.returncode is None, started.log.read_text()
            try:
                return (await http.get("/health")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, 120)
        yield http, started


@pytest.mark.parametrize(
    ("module", "missing"), [(module, name) for module, names in REQUIRED.items() for name in names]
)
async def test_a_process_ends_at_once_without_a_required_variable(
    module: str, missing: str, tmp_path: Path
) -> None:
    given = {name: value for name, value in REQUIRED[module].items() if name != missing}
    async with running(module, tmp_path, given | NOBODY) as started:
        assert await started.process.wait() == 1
        said = started.log.read_text()

    process = module.partition(".")[0]
    assert said == f"everline {process}: the environment is not complete:\n  {missing} is not set\n"


async def test_the_api_starts_with_the_seeds_variables_alone(tmp_path: Path) -> None:
    async with api(tmp_path) as (http, started):
        answer = await http.get("/agents", headers={"x-api-key": "k"})
        assert answer.status_code == 503, "Pagos does not answer"
        lines = [json.loads(line) for line in started.log.read_text().splitlines()]
    [note] = [line for line in lines if line.get("event") == NOTE]
    assert note["not_set"] == ["EVERLINE_ENCRYPTION_KEYS", "EVERLINE_CALLBACK_SECRET"]
    assert "everline secrets" in note["cure"]
    assert "canary" not in json.dumps(lines)


@pytest.mark.parametrize("mode", ["production", "development"])
async def test_the_worker_starts_with_the_seeds_variables_alone(tmp_path: Path, mode: str) -> None:
    async with running("worker.main", tmp_path, LIVEKIT | NOBODY | {"NODE_ENV": mode}) as started:
        await eventually(lambda: started.has_logged("temporal is away"), 120)
        assert started.has_logged(NOTE)
        assert not started.has_logged("canary")


async def test_the_agent_worker_starts_with_the_seeds_variables_alone(tmp_path: Path) -> None:
    async with running("agent.server.main", tmp_path, LIVEKIT) as started:
        await eventually(lambda: started.has_logged("agent_server_starting"), 120)
        assert started.process.returncode is None


KEY, SECRET = LIVEKIT["LIVEKIT_API_KEY"], LIVEKIT["LIVEKIT_API_SECRET"]
HOOK_KEY, HOOK_SECRET = "APIhook", "a-webhook-secret-of-40-characters-------"


@pytest.mark.parametrize(
    ("given", "key", "secret"),
    [
        ({}, KEY, SECRET),
        ({"LIVEKIT_WEBHOOK_API_KEY": HOOK_KEY}, HOOK_KEY, SECRET),
        ({"LIVEKIT_WEBHOOK_API_SECRET": HOOK_SECRET}, KEY, HOOK_SECRET),
        (
            {"LIVEKIT_WEBHOOK_API_KEY": HOOK_KEY, "LIVEKIT_WEBHOOK_API_SECRET": HOOK_SECRET},
            HOOK_KEY,
            HOOK_SECRET,
        ),
    ],
    ids=["unset", "key alone", "secret alone", "both"],
)
async def test_webhooks_are_verified_with_livekits_key_unless_they_have_their_own(
    given: dict[str, str], key: str, secret: str, tmp_path: Path
) -> None:
    event = {"event": "room_started", "id": "EV_1", "createdAt": str(int(time.time()))}
    body = json.dumps(event).encode()
    pairs = [(k, s) for k in (KEY, HOOK_KEY) for s in (SECRET, HOOK_SECRET)]
    statuses: dict[tuple[str, str], int] = {}
    async with api(tmp_path, **given) as (http, _):
        for signer in pairs:
            headers = {"Authorization": sign_body(*signer, body, WEBHOOK)}
            answer = await http.post("/v1/livekit/webhook", content=body, headers=headers)
            statuses[signer] = answer.status_code

    assert statuses == {signer: 200 if signer == (key, secret) else 401 for signer in pairs}
