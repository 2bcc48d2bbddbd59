"""The `everline` command."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cli.agents import agents_app
from cli.doctor import doctor
from cli.keys import keys_app
from cli.sessions import sessions_app
from cli.webhooks import webhooks_app
from stack.binaries import locate_servers
from stack.down import stop_stack
from stack.errors import AlreadyRunningError, StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home, find_home
from stack.layout.wanted import PART_NAMES, Wanted, parse_names, parse_settings
from stack.progress import Progress
from stack.supervision.control import await_started, change_parts
from stack.supervision.logs import tail
from stack.supervision.state import StackState, read_state
from stack.supervision.supervisor import banner
from stack.up import UpRequest, is_running, run_detached, run_in_foreground

app = typer.Typer(
    name="everline",
    help="Voice-agent sessions that cannot get lost: the whole stack on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(sessions_app, name="sessions")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(agents_app, name="agents")
app.add_typer(keys_app, name="keys")
app.command("doctor")(doctor)


def main() -> None:
    """Run the command; what cannot be done is said in plain words."""
    try:
        app()
    except StackError as problem:
        _complain(str(problem))
    except OSError as problem:
        # A full disk, a folder of somebody else: the file and the system's word for it say it all.
        if problem.filename is None:
            raise
        _complain(f"{problem.filename}: {problem.strerror}")


def _complain(text: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
    raise SystemExit(1) from None


@app.callback()
def _choose_home(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the stack (EVERLINE_HOME; default: .everline)."),
    ] = None,
) -> None:
    context.obj = find_home(given=home)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option(help="Run in the background.")] = False,
    without: Annotated[
        list[str], typer.Option(help=f"Leave a part out: {', '.join(PART_NAMES)}.")
    ] = [],  # noqa: B006  # typer reads the default and never changes it
    setting: Annotated[
        list[str],
        typer.Option("--set", help="[PART:]NAME=VALUE in the environment of api, worker, agent."),
    ] = [],  # noqa: B006  # typer reads the default and never changes it
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Pick free ports for a new stack.")
    ] = False,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Restart API and worker when their sources change."),
    ] = False,
    api_port: Annotated[int | None, typer.Option(help="API (4000).")] = None,
    temporal_port: Annotated[int | None, typer.Option(help="Temporal (7233).")] = None,
    temporal_ui_port: Annotated[int | None, typer.Option(help="Temporal UI (8233).")] = None,
    livekit_port: Annotated[int | None, typer.Option(help="LiveKit (7880).")] = None,
    livekit_tcp_port: Annotated[int | None, typer.Option(help="Media over TCP (7881).")] = None,
    livekit_udp_ports: Annotated[
        str | None, typer.Option(help="Media over UDP (7882-7885).")
    ] = None,
    mongodb_port: Annotated[int | None, typer.Option(help="MongoDB (27017).")] = None,
    models_port: Annotated[int | None, typer.Option(help="Local models (4010).")] = None,
) -> None:
    """Start the whole stack and keep it running; Ctrl-C stops it."""
    home = _home(context)
    console = Console(soft_wrap=True)
    if is_running(home):
        _say_that_it_runs(home, console)
        return
    ports: dict[str, int | str | None] = {
        "api": api_port,
        "temporal": temporal_port,
        "temporal_ui": temporal_ui_port,
        "livekit": livekit_port,
        "livekit_tcp": livekit_tcp_port,
        "livekit_udp": livekit_udp_ports,
        "mongodb": mongodb_port,
        "models": models_port,
    }
    given = [*without, os.environ.get("EVERLINE_WITHOUT", "")]
    wanted = Wanted(left_out=parse_names(given), settings=parse_settings(setting))
    repeated = _repeat(without, setting, ports, free_ports, reload)
    request = UpRequest(wanted, ports, free_ports, repeated, reload)
    home.create()
    # In the background, it is the supervisor there that keeps this log.
    kept = None if detach else home.log("supervisor")
    progress = Progress(console, kept)
    run = run_detached if detach else run_in_foreground
    try:
        code = run(home, request, progress)
    except AlreadyRunningError:
        _say_that_it_runs(home, console)
        return
    finally:
        progress.close()
    raise typer.Exit(code)


def _repeat(
    without: list[str],
    setting: list[str],
    ports: dict[str, int | str | None],
    free_ports: bool,
    reload: bool,
) -> list[str]:
    """Return the options of `up` once more, for the process in the background."""
    words = ["--free-ports"] if free_ports else []
    words += ["--reload"] if reload else []
    words += [word for name in without for word in ("--without", name)]
    words += [word for text in setting for word in ("--set", text)]
    for field, port in ports.items():
        if port is not None:
            ending = "ports" if field == "livekit_udp" else "port"
            words += [f"--{field.replace('_', '-')}-{ending}", str(port)]
    return words


def _say_that_it_runs(home: Home, console: Console) -> None:
    """A second `up` finds the first, and waits for it if it is still starting."""
    state = await_started(home)
    credentials = read_credentials(home)
    console.print(
        f"This stack is already {state.state} (pid {state.supervisor_pid}, {home.root}); "
        "`everline down` stops it.",
        markup=False,
        highlight=False,
    )
    if credentials is not None:
        console.print(banner(state, credentials.api_key), markup=False, highlight=False)


@app.command()
def down(context: typer.Context) -> None:
    """Stop the stack."""
    console = Console(soft_wrap=True)
    progress = Progress(console)
    try:
        stopped = stop_stack(_home(context), progress)
    finally:
        progress.close()
    console.print("Everline is stopped." if stopped else "Nothing was running.")


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what runs, and where."""
    home = _home(context)
    state = read_state(home)
    credentials = read_credentials(home)
    api_key = credentials.api_key if credentials else None
    if as_json:
        typer.echo(json.dumps(_as_json(state, api_key), indent=2))
        return
    _show(Console(soft_wrap=True), state, api_key)


def _as_json(state: StackState, api_key: str | None) -> dict[str, object]:
    shown = {"name", "pid", "state", "log"}
    return {
        "state": state.state,
        "urls": state.urls.model_dump(by_alias=True),
        "apiKey": api_key,
        "processes": [process.model_dump(include=shown) for process in state.processes],
    }


def _show(console: Console, state: StackState, api_key: str | None) -> None:
    console.print(f"Everline: {state.state}", highlight=False)
    console.print(f"  {'process':<10} {'pid':<8} {'restarts':<9} {'state':<11} log", style="dim")
    for process in state.processes:
        row = f"{process.name:<10} {process.pid or '':<8} {process.restarts:<9} {process.state:<11}"
        console.print(f"  {row} {process.log}", markup=False, highlight=False)
        if process.reason:
            console.print(f"             {process.reason}", markup=False, highlight=False)
        elif process.last_restart:
            text = f"started again because it {process.last_restart}"
            console.print(f"             {text}", markup=False, highlight=False)
    if state.state in ("running", "degraded") and api_key:
        console.print(
            banner(state, api_key).split("\n", 2)[2], markup=False, highlight=False, end=""
        )


@app.command()
def start(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Parts to start again.")],
    setting: Annotated[
        list[str], typer.Option("--set", help="[PART:]NAME=VALUE in their environment.")
    ] = [],  # noqa: B006  # typer reads the default and never changes it
) -> None:
    """Start parts of a running stack that were left out or stopped."""
    change_parts(_home(context), start=parse_names(names), settings=parse_settings(setting))


@app.command()
def stop(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Parts to stop.")],
) -> None:
    """Stop parts of a running stack; the rest goes on without them."""
    change_parts(_home(context), stop=parse_names(names))


@app.command()
def servers() -> None:
    """Find the Temporal and LiveKit servers, or build them (once per user)."""
    console = Console(soft_wrap=True)
    progress = Progress(console)
    try:
        found = locate_servers(progress)
    finally:
        progress.close()
    for name, path in found.items():
        console.print(f"{name:<16} {path}", markup=False, highlight=False)


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{', '.join(PART_NAMES)}, or supervisor.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Keep showing.")] = False,
    lines: Annotated[int, typer.Option("-n", help="How many lines to begin with.")] = 50,
) -> None:
    """Show the log of a process."""
    if name != "supervisor":
        parse_names([name])
    log = _home(context).log(name)
    if not log.exists() and not follow:
        raise StackError(f"there is no {log}: {name} has not run in this stack; `everline up` does")
    for line in tail(log, lines):
        typer.echo(line)
    position = log.stat().st_size if log.exists() else 0
    while follow:
        time.sleep(0.3)
        size = log.stat().st_size if log.exists() else 0
        with log.open("rb") if size != position else open(os.devnull, "rb") as file:
            file.seek(position if size > position else 0)
            typer.echo(file.read().decode("utf-8", errors="replace"), nl=False)
        position = size


@app.command(
    "demo",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def place_demo_call(context: typer.Context) -> None:
    """Place a real call and show it from start to end."""
    # Loaded only here: it brings WebRTC, which takes a second to import.
    from stack.demo.command import demo

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(demo)
    os.environ["EVERLINE_HOME"] = str(_home(context).root)
    command(args=context.args, prog_name="everline demo")


def _home(context: typer.Context) -> Home:
    home = context.obj
    assert isinstance(home, Home)
    return home
