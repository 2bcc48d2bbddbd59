"""`everline keys …` and `everline sessions …` against the API, as an operator uses them."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from adapters.auth.local_keys import prefix_of
from stack.layout.credentials import generate_credentials
from stack.layout.files import write_atomically
from stack.layout.home import Home
from stack.supervision.locks import try_lock
from stack.supervision.state import StackState, Urls, write_state
from tests.api.house import ROOT_KEY, House, Tenant, unique
from tests.fakes.webhook_receiver import webhook_receiver
from tests.waiting import eventually

# Each command is a process of its own, which takes seconds to start on a busy machine.
pytestmark = pytest.mark.timeout(400)


@dataclass
class Shell:
    """A shell on a machine whose stack serves the house's API."""

    home: Home

    async def run(self, *words: str, fails_with: str | None = None) -> str:
        """What a command prints; what it says when it fails has to have `fails_with` in it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "--home", str(self.home.root), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        said = stderr.decode()
        assert bool(process.returncode) == bool(fails_with), said
        assert fails_with is None or fails_with in said
        return stdout.decode()

    async def json(self, *words: str) -> dict[str, Any]:
        """What a command prints for programs."""
        return json.loads(await self.run(*words))


@pytest.fixture
async def shell(house: House, tmp_path: Path) -> AsyncGenerator[Shell]:
    home = Home(tmp_path / "home")
    home.create()
    credentials = generate_credentials().model_copy(update={"api_key": ROOT_KEY})
    write_atomically(home.credentials, credentials.model_dump_json(), private=True)
    async with house.open() as api:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            config = uvicorn.Config(api, log_config=None, lifespan="off")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            write_state(home, StackState(state="running", urls=Urls(api=url)))
            lock = try_lock(home.lock)
            assert lock
            with lock:
                yield Shell(home)
            server.should_exit = True
            await serving
    await house.quiet()


async def test_keys_are_made_listed_and_revoked(shell: Shell, house: House) -> None:
    org = unique("acme")
    key = (await shell.run("keys", "create", "--org", org, "--name", "laptop")).strip()
    prefix = prefix_of(key)
    assert prefix is not None
    found = await house.archive.api_keys.resolve(key)
    assert found is not None
    assert found.org == org

    how = ("--scope", "read", "--expires-in-days", "1", "--admin", "--user", "bob", "--json")
    made = await shell.json("keys", "create", "--org", org, *how)
    assert (made["scopes"], made["is_admin"], made["user_id"]) == (["read"], True, "bob")

    listed = await shell.run("keys", "list", "--org", org)
    [line] = [line for line in listed.splitlines() if line.startswith(prefix)]
    assert line.split()[1:6] == ["laptop", "bootstrap", "read", "write", "works"]
    assert key not in listed

    await shell.run("keys", "revoke", prefix, "--org", org)
    assert await house.archive.api_keys.resolve(key) is None
    keys = (await shell.json("keys", "list", "--org", org, "--json"))["keys"]
    assert [one["prefix"] for one in keys if one["revoked_at"]] == [prefix]
    await shell.run("keys", "revoke", "nothing", "--org", org, fails_with="404")


async def test_sessions_are_listed_and_steered(shell: Shell, house: House) -> None:
    names = [unique("call"), unique("call")]
    async with house.open() as api:
        root = Tenant(api, ROOT_KEY)
        for name in names:
            assert (await root.start(name, wait="dispatched")).status_code == 200

    async def listed() -> bool:
        page = await shell.json("sessions", "list", "--state", "joining", "--json")
        return {line["session_id"] for line in page["sessions"]} >= set(names)

    await eventually(listed, 120)
    table = await shell.run("sessions", "list", "--limit", "1")
    assert table.splitlines()[0].split()[:2] == ["session_id", "state"]
    assert table.splitlines()[-1].startswith("more: everline sessions list --cursor ")

    for words in (("extend", names[0], "60"), ("redispatch", names[0])):
        await shell.run("sessions", *words, fails_with="409")
    assert (await shell.json("sessions", "finalise", names[0]))["session_id"] == names[0]

    async def closed() -> bool:
        return (await shell.json("sessions", "show", names[0]))["state"] == "closed"

    await eventually(closed, 120)


async def test_a_session_is_started_and_found_with_metadata(shell: Shell) -> None:
    order, name = unique("order"), unique("call")
    given = ("--metadata", f"order={order}", "--metadata", "note=a=b")
    started = await shell.json("sessions", "start", "--id", name, "--wait", "accepted", *given)
    assert started["metadata"] == {"order": order, "note": "a=b"}

    async def listed() -> bool:
        words = ("sessions", "list", "--metadata", f"order={order}", "--json")
        return [one["session_id"] for one in (await shell.json(*words))["sessions"]] == [name]

    await eventually(listed, 120)
    for wrong in (("--metadata", "order"), (*given, "--metadata", "order=2")):
        await shell.run("sessions", "start", *wrong, fails_with="give KEY=VALUE")


async def test_agents_are_saved_changed_and_restored(shell: Shell, tmp_path: Path) -> None:
    org = unique("acme")
    file = tmp_path / "agent.json"

    async def agents(*words: str, fails_with: str | None = None) -> str:
        return (await shell.run("agents", *words, "--org", org, fails_with=fails_with)).strip()

    file.write_text(json.dumps({"agent_name": "Host", "prompt": "one", "api_key": "sk-secret"}))
    agent_id = await agents("create", str(file))
    shown = json.loads(await agents("get", agent_id))
    assert shown["config"]["api_key"] == "********"

    # What was shown can be edited and sent back.
    file.write_text(json.dumps({**shown, "config": {**shown["config"], "prompt": "two"}}))
    await agents("update", agent_id, str(file), "--version", "1")
    await agents("update", agent_id, str(file), "--version", "1", fails_with="412")
    await agents("rollback", agent_id, "1")
    first = json.loads(await agents("get", agent_id, "--version", "3"))
    assert (first["config"]["prompt"], first["restoredFrom"]) == ("one", 1)

    table = await agents("versions", agent_id)
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["3", "2", "1"]
    [line] = [line for line in (await agents("list")).splitlines() if line.startswith(agent_id)]
    assert line.split()[1:3] == ["3", "Host"]

    await agents("delete", agent_id)


async def test_webhooks(shell: Shell) -> None:
    async with webhook_receiver() as receiver:
        url = f"{receiver.url}/ok"
        made = await shell.json("webhooks", "create", url, "--event", "session.ended")
        assert made["secret"].startswith("whsec_")
        webhook_id = made["webhook_id"]
        sent = await shell.json("webhooks", "test", webhook_id)
        await eventually(lambda: len(receiver.requests) == 1, 60, "the test event")
        again = await shell.json("webhooks", "redeliver", sent["delivery_id"])
        assert again["event_id"] == sent["event_id"]
        await eventually(lambda: len(receiver.requests) == 2, 60, "the same once more")
        log = await shell.json("webhooks", "deliveries", "--webhook-id", webhook_id)
        assert [one["delivery_id"] for one in log["deliveries"]] == [sent["delivery_id"]]
        for word, enabled in (("disable", False), ("enable", True)):
            assert (await shell.json("webhooks", word, webhook_id))["enabled"] is enabled
        listed = await shell.json("webhooks", "list")
        assert webhook_id in [one["webhook_id"] for one in listed["webhooks"]]
        await shell.run("webhooks", "delete", webhook_id)
        listed = await shell.json("webhooks", "list")
        assert webhook_id not in [one["webhook_id"] for one in listed["webhooks"]]
        await shell.run("webhooks", "delete", webhook_id, fails_with="404")
