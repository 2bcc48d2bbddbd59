"""The `everline` command."""

import json
import os
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from adapters.settings import SettingsError, SharedSecrets, load
from cli.agents import agents_app
from cli.doctor import doctor
from cli.installation import KEY_VARIABLE, URL_VARIABLE, Installation, local_home
from cli.keys import keys_app
from cli.options import AsJson, SetOption
from cli.sessions import sessions_app
from cli.webhooks import webhooks_app
from stack.binaries import locate_servers
from stack.change import change_running
from stack.down import stop_stack
from stack.errors import AlreadyRunningError, StackError
from stack.layout.credentials import read_credentials
from stack.layout.home import Home, find_home
from stack.layout.ports import SETTINGS
from stack.layout.wanted import PART_NAMES, Wanted, parse_names, parse_settings
from stack.progress import Progress
from stack.supervision.control import change_parts
from stack.supervision.logs import new_lines, tail
from stack.supervision.state import StackState, read_state
from stack.supervision.supervisor import banner
from stack.up import UpRequest, is_running, run_detached, run_in_foreground
from stack.waits import waiting_for

app = typer.Typer(
    name="everline",
    help="Voice-agent sessions that cannot get lost: the whole stack on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # The groups below take it over.
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sessions_app, name="sessions")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(agents_app, name="agents")
app.add_typer(keys_app, name="keys")
app.command("doctor")(doctor)


def main() -> None:
    """Run the command; expected failures are printed without a traceback."""
    try:
        app()
    except StackError as problem:
        _complain(str(problem))
    except OSError as problem:
        # Such as a full disk or missing permissions.
        if problem.filename is None:
            raise
        _complain(f"{problem.filename}: {problem.strerror}")


def _complain(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"everline {version('everline')}")
        raise typer.Exit


@app.callback()
def _choose_installation(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the stack (EVERLINE_HOME; default: .everline)."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar=URL_VARIABLE,
            help="API of another installation, for agents, keys, sessions and webhooks.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar=KEY_VARIABLE, help="API key; default: the stack's own.")
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    sources = [context.get_parameter_source(name) for name in ("url", "key")]
    given_as_option = any(source and source.name == "COMMANDLINE" for source in sources)
    context.obj = Installation(find_home(given=home), url, key, given_as_option)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option(help="Run in the background.")] = False,
    without: Annotated[
        list[str], typer.Option(help=f"Leave a part out: {', '.join(PART_NAMES)}.")
    ] = [],  # noqa: B006  # typer never changes it
    setting: SetOption = [],  # noqa: B006  # typer never changes it
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
    home = local_home(context)
    # The parameter of a port is named after its option.
    ports = {one.field: context.params[one.option[2:].replace("-", "_")] for one in SETTINGS}
    # For the process in the background.
    repeated = ["--free-ports"] * free_ports + ["--reload"] * reload
    repeated += [f"--without={name}" for name in without] + [f"--set={text}" for text in setting]
    repeated += [
        f"{one.option}={ports[one.field]}" for one in SETTINGS if ports[one.field] is not None
    ]
    given = Wanted(left_out=parse_names(without), settings=parse_settings(setting))
    request = UpRequest(given, ports, free_ports, repeated, reload)
    if is_running(home):
        return _change_running(home, request)
    left_out = parse_names([*without, os.environ.get("EVERLINE_WITHOUT", "")])
    fresh = replace(request, wanted=given.model_copy(update={"left_out": left_out}))
    home.create()
    run = run_detached if detach else run_in_foreground
    # A detached supervisor writes this log itself.
    log = None if detach else home.log("supervisor")
    with Progress(Console(soft_wrap=True), log) as progress:
        try:
            code = run(home, fresh, progress)
        except AlreadyRunningError:
            return _change_running(home, request)
    raise typer.Exit(code)


def _change_running(home: Home, request: UpRequest) -> None:
    """Apply the options to the stack that is running, and say so."""
    with waiting_for("the running stack to be ready for this"):
        changed = change_running(home, request)
    for line in changed:
        typer.echo(line)
    state, credentials = read_state(home), read_credentials(home)
    typer.echo(
        f"This stack is already {state.state} (pid {state.supervisor_pid}, {home.root}); "
        "`everline down` stops it."
    )
    if credentials is not None:
        typer.echo(banner(state, credentials.api_key))


@app.command()
def down(context: typer.Context) -> None:
    """Stop the stack."""
    with Progress(Console(soft_wrap=True)) as progress:
        stopped = stop_stack(local_home(context), progress)
    typer.echo("Everline is stopped." if stopped else "Nothing was running.")


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is running, and where."""
    home = local_home(context)
    state, credentials = read_state(home), read_credentials(home)
    api_key = credentials.api_key if credentials else None
    if not as_json:
        return _print_status(state, api_key)
    shown = {"name", "pid", "state", "log"}
    document = {
        "state": state.state,
        "urls": state.urls.model_dump(by_alias=True),
        "apiKey": api_key,
        "processes": [process.model_dump(include=shown) for process in state.processes],
    }
    typer.echo(json.dumps(document, indent=2))


def _print_status(state: StackState, api_key: str | None) -> None:
    typer.echo(f"Everline: {state.state}")
    typer.secho(f"  {'process':<10} {'pid':<8} {'restarts':<9} {'state':<11} log", dim=True)
    for process in state.processes:
        row = f"{process.name:<10} {process.pid or '':<8} {process.restarts:<9} {process.state:<11}"
        typer.echo(f"  {row} {process.log}")
        restarted = process.last_restart and f"restarted because it {process.last_restart}"
        if note := process.reason or restarted:
            typer.echo(f"             {note}")
    if state.state in ("running", "degraded") and api_key:
        typer.echo(banner(state, api_key).split("\n", 2)[2], nl=False)


@app.command()
def start(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Parts to start.")],
    setting: SetOption = [],  # noqa: B006  # typer never changes it
) -> None:
    """Start parts of a running stack that were left out or stopped."""
    home = local_home(context)
    with waiting_for(f"{' and '.join(names)} to be healthy"):
        change_parts(home, start=parse_names(names), settings=parse_settings(setting))


@app.command()
def stop(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Parts to stop.")],
) -> None:
    """Stop parts of a running stack; the others keep running."""
    home = local_home(context)
    with waiting_for(f"{' and '.join(names)} to end"):
        change_parts(home, stop=parse_names(names))


@app.command()
def servers() -> None:
    """Find the Temporal and LiveKit servers, or build them (once per user)."""
    with Progress(Console(soft_wrap=True)) as progress:
        found = locate_servers(progress)
    for name, path in found.items():
        typer.echo(f"{name:<16} {path}")


@app.command("secrets")
def print_secrets() -> None:
    """Print the shared secrets as settings, derived ones included (LIVEKIT_API_SECRET, .env)."""
    try:
        secrets = load(SharedSecrets)
    except SettingsError as problem:
        raise StackError(f"everline secrets: {problem}") from None
    for name, value in secrets.as_variables().items():
        typer.echo(f"{name}={value}")


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=f"{', '.join(PART_NAMES)}, or supervisor.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Follow the log.")] = False,
    lines: Annotated[int, typer.Option("-n", help="How many lines to begin with.")] = 50,
) -> None:
    """Show the log of a process."""
    if name != "supervisor":
        parse_names([name])
    home = local_home(context)
    log = home.log(name)
    if not log.exists() and not follow:
        raise StackError(f"{log} does not exist: {name} never ran; start it with `everline up`")
    if not log.exists():
        typer.echo(f"{name} has not run yet: waiting for {log}", err=True)
    for line in tail(log, lines):
        typer.echo(line)
    position = log.stat().st_size if log.exists() else 0
    while follow:
        time.sleep(0.3)
        fresh, position = new_lines(log, position)
        for line in fresh:
            typer.echo(line)


@app.command(
    "demo",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def place_demo_call(context: typer.Context) -> None:
    """Place a real call and show it from start to end."""
    # Imported late: WebRTC takes a second to load.
    from stack.demo.command import demo

    home = local_home(context)
    command = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command.command()(demo)
    os.environ["EVERLINE_HOME"] = str(home.root)
    command(args=context.args, prog_name="everline demo")
