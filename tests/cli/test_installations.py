"""What every command has: help, a version, another installation, and errors as plain text."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from importlib.metadata import version
from pathlib import Path

import pytest
from aiohttp import web

from stack.layout.home import Home
from stack.layout.wanted import Wanted, write_wanted
from stack.supervision.state import read_state
from tests.api.house import ROOT_KEY, House, unique
from tests.cli.test_commands import Shell, shell

__all__ = ["shell"]

pytestmark = pytest.mark.timeout(400)


async def everline(*words: str, **variables: str) -> tuple[int, str]:
    """Run the installed command; returns its exit code and all that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("everline")), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | variables,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_version() -> None:
    assert await everline("--version") == (0, f"everline {version('everline')}\n")


@pytest.mark.parametrize("words", ["", "up", "sessions", "sessions start", "doctor", "demo"])
async def test_both_spellings_of_help(words: str) -> None:
    short, long = [await everline(*words.split(), option) for option in ("-h", "--help")]
    assert short == long
    assert (short[0], "Usage: everline" in short[1]) == (0, True)


async def test_completion_can_be_installed() -> None:
    assert "--install-completion" in (await everline("--help"))[1]
    code, script = await everline(_EVERLINE_COMPLETE="source_bash")
    assert (code, "complete" in script) == (0, True)
    asked = {"COMP_WORDS": "everline sess", "COMP_CWORD": "1"}
    assert "sessions" in (await everline(_EVERLINE_COMPLETE="complete_bash", **asked))[1]


async def test_commands_act_on_another_installation(shell: Shell, tmp_path: Path) -> None:
    url = read_state(shell.home).urls.api
    assert url is not None
    elsewhere = ("--home", str(tmp_path / "nothing-runs-here"))
    for words, variables in (
        (("--url", url, "--key", ROOT_KEY), {}),
        (("--url", f"{url}/"), {"EVERLINE_API_KEY": ROOT_KEY}),
        ((), {"EVERLINE_API_URL": url, "EVERLINE_API_KEY": ROOT_KEY}),
    ):
        code, output = await everline(*elsewhere, *words, "keys", "list", "--json", **variables)
        assert code == 0, output
        assert "keys" in json.loads(output)
    # The key of somebody else, for the stack on this machine.
    stack = ("--home", str(shell.home.root))
    code, output = await everline(*stack, "--key", "evl_unknown", "keys", "list")
    assert (code, output) == (1, "the API key is not known (401)\n")


async def test_an_installation_that_is_named_by_half_or_by_mistake(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path))
    for words, told in (
        (("--url", "https://a.test", "keys", "list"), "give the API key of https://a.test: --key"),
        (("--url", "a.test", "--key", "k", "keys", "list"), "a.test is not a URL"),
        (("--url", "https://a.test", "--key", "k", "status"), "for the stack on this machine"),
        (("--key", "k", "up"), "for the stack on this machine"),
        (("keys", "list"), "or name another one: --url"),
    ):
        code, output = await everline(*home, *words)
        assert (code, told in output) == (1, True), output
        assert "Traceback" not in output


@pytest.fixture
async def page() -> AsyncGenerator[str]:
    """A web server that is no Everline: every answer is an HTML page."""

    async def answer(request: web.Request) -> web.Response:
        status = 403 if request.method == "POST" else 200
        return web.Response(status=status, text="<html>Log in</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.mark.parametrize("words", [("keys", "list"), ("sessions", "start")])
async def test_an_answer_that_is_not_everlines(page: str, words: tuple[str, str]) -> None:
    code, output = await everline("--url", page, "--key", "k", *words)
    assert code == 1
    assert "but not as Everline's API does" in output
    assert "Traceback" not in output


async def test_a_session_is_started(shell: Shell, house: House, tmp_path: Path) -> None:
    name, file = unique("cli"), tmp_path / "agent.json"
    file.write_text(json.dumps({"tools": ["end_call"]}))
    words = ("--id", name, "--prompt", "You are a host.", "--config", str(file))
    made = await shell.json("sessions", "start", *words, "--identity", "ann", "--wait", "accepted")
    assert (made["session_id"], made["user_identity"]) == (name, "ann")
    assert made["livekit_token"]
    config = made["agent_config"]
    assert (config["prompt"], config["tools"]) == ("You are a host.", ["end_call"])
    assert [warning["field"] for warning in made["warnings"]] == ["agents"], "none is there"
    await shell.json("sessions", "finalise", name)


async def test_a_start_that_waits_says_for_what(shell: Shell) -> None:
    name = unique("cli")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "--home", str(shell.home.root)),
        *("sessions", "start", "--id", name),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(120):
        line = (await process.stderr.readline()).decode()
    process.kill()
    await process.wait()

    assert line.startswith("… waiting for the agent to join: ")
    await shell.json("sessions", "finalise", name)


async def test_errors_of_the_api_are_plain_text(shell: Shell) -> None:
    for words, text in (
        (("sessions", "show", "nobody"), "(404)"),
        (("sessions", "start", "--wait", "join"), "  wait: "),
        (("sessions", "start", "--wait", "join"), "did you mean 'joined'?"),
        (("sessions", "start", "--model", "openai/gpt-4.1-mni"), "openai/gpt-4.1-mini"),
        (("keys", "create", "--scope", "raed"), "did you mean 'read'?"),
    ):
        home = ("--home", str(shell.home.root))
        code, output = await everline(*home, *words)
        assert (code, text in output) == (1, True), output
        assert "{" not in output
        assert "Traceback" not in output


async def test_doctor_for_programs(tmp_path: Path) -> None:
    write_wanted(Home(tmp_path), Wanted(left_out=["models"]))
    code, output = await everline("--home", str(tmp_path), "doctor", "--json")
    document = json.loads(output)
    assert document["ok"] is (code == 0)
    assert document["ok"] == all(finding["ok"] for finding in document["findings"])
    python = next(one for one in document["findings"] if one["title"] == "Python")
    assert python.keys() == {"title", "ok", "detail", "cure"}
