"""`everline doctor`: checks this machine and the stack, and says how to fix what is wrong."""

import asyncio
import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import psutil
import typer

from adapters.settings import OWN_SECRETS, SettingsError, SharedSecrets, derived_secrets, load
from cli.installation import local_home
from cli.options import AsJson
from cli.output import print_json
from cli.speech_check import SpeechFault, are_models_installed, try_models, try_models_alone
from stack.binaries import SERVERS, Server
from stack.binaries.locate import find_built, find_fault, find_on_path
from stack.binaries.toolchain import find_uv
from stack.errors import StackError
from stack.layout.environment import Addresses
from stack.layout.home import Home, find_cache
from stack.layout.ports import Ports, choose_ports, read_ports, require_free_ports
from stack.layout.wanted import PART_NAMES, read_wanted
from stack.supervision.health import NotHealthyError, fetch_agent_health
from stack.supervision.state import ProcessState, read_state
from stack.waits import waiting_for

_BUILD_GB = 6
# `requires-python` in pyproject.toml.
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)


@dataclass(frozen=True)
class Finding:
    """The result of one check; `cure` says what to do if it is not ok."""

    title: str
    ok: bool
    detail: str
    cure: str = ""


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this machine and the stack; exits with 1 if anything is wrong."""
    home, healthy = local_home(context), True
    findings: list[Finding] = []
    for finding in chain(examine(home, os.environ), examine_speech(home, os.environ)):
        healthy = healthy and finding.ok
        if as_json:
            findings.append(finding)
        else:
            _print(finding)
    if as_json:
        print_json({"ok": healthy, "findings": [_as_json(finding) for finding in findings]})
    raise typer.Exit(0 if healthy else 1)


def _as_json(finding: Finding) -> dict[str, object]:
    return {**asdict(finding), "cure": None if finding.ok else finding.cure}


def _print(finding: Finding) -> None:
    mark, color = ("✓", "green") if finding.ok else ("✗", "red")
    typer.echo(f"{typer.style(mark, fg=color)} {finding.title:<21}{finding.detail}")
    if not finding.ok:
        typer.echo(f"    cure: {finding.cure}")


def examine(home: Home, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check everything but the speech models."""
    yield _python()
    yield from (_server(server, environ) for server in SERVERS)
    yield _interface()
    yield _folder(home)
    yield from _secrets(home)
    state = read_state(home)
    if state.supervisor_pid is None:
        yield _ports(home, environ)
        yield Finding("stack", True, f"not running ({home.root})")
        return
    yield from map(_process, state.processes)
    if state.urls.api is not None:
        yield from _sessions_need(state.urls.api)


def examine_speech(home: Home, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Try the local models with a sentence: the running ones, or ones started for the check."""
    title = "speech models"
    state, wanted = read_state(home), read_wanted(home)
    running = state.supervisor_pid is not None
    if running and not any(p.name == "models" and p.state == "running" for p in state.processes):
        return  # reported by `examine`
    if not running and not wanted.wants("models"):
        yield Finding(title, True, "left out")
    elif not running and not are_models_installed():
        yield Finding(title, False, "not installed", "run `make setup`")
    else:
        models = Addresses(read_ports(home) or Ports()).models
        attempt = try_models(models) if running else try_models_alone(wanted, environ)
        cure = "see `everline logs models`" if running else "run `make setup` again"
        try:
            with waiting_for("the speech models to hear and speak a sentence"):
                detail = asyncio.run(attempt)
            yield Finding(title, True, detail)
        except SpeechFault as fault:
            cure += ", and check the EVERLINE_MODELS_… settings"
            yield Finding(title, False, str(fault), cure)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        "Python",
        OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON,
        f"{version} ({sys.executable})",
        "install Python 3.11, 3.12 or 3.13 and run `make setup` again",
    )


def _server(server: Server, environ: Mapping[str, str]) -> Finding:
    title = f"{server.title} server"
    if named := environ.get(server.variable):
        program = Path(named).expanduser()
        usable = os.access(program, os.X_OK)
        # A program with a known fault is used all the same: it is the user's choice.
        fault = find_fault(server, program) if usable else "not an executable program"
        cure = f"unset {server.variable}; a good one is then built once"
        return Finding(title, not fault, f"{program}: {fault}" if fault else str(program), cure)
    found, reason = find_on_path(server, environ)
    found = found or find_built(server, environ)
    note = f"; {reason}" if reason else ""
    if found:
        return Finding(title, True, f"{found}{note}")
    cache, room = _free_space(find_cache(environ))
    if not os.access(cache, os.W_OK | os.X_OK):
        cure = "name another place: XDG_CACHE_HOME=/path"
        return Finding(title, False, f"not built yet, and {cache} cannot be written to", cure)
    if room < _BUILD_GB:
        return Finding(
            title,
            False,
            f"not built yet, and only {room:.1f} GB free in {cache}",
            f"free {_BUILD_GB} GB, or set XDG_CACHE_HOME to a larger disk, "
            f"or install it: {server.install}",
        )
    try:
        tool = shutil.which("go", path=environ.get("PATH")) or find_uv(environ)
    except StackError as problem:
        return Finding(title, False, "not built yet", str(problem))
    detail = f"built at the first start ({server.build_minutes} min), by {tool}{note}"
    return Finding(title, True, detail)


def _free_space(folder: Path) -> tuple[Path, float]:
    """Return the folder or the nearest one above it that exists, and its free space in GB."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing, shutil.disk_usage(existing).free / 1024**3


def _interface() -> Finding:
    """WebRTC in Python ignores the loopback interface: another one must have an address."""
    usable = {
        name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
        and _is_routable(address.address)
        and psutil.net_if_stats()[name].isup
    }
    return Finding(
        "network for WebRTC",
        bool(usable),
        ", ".join(sorted(usable)) or "only the loopback interface has an address",
        "give any other interface an address, for instance: "
        "ip link add everline type dummy && ip addr add 10.99.99.1/32 dev everline "
        "&& ip link set everline up",
    )


def _is_routable(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return not parsed.is_loopback and not parsed.is_link_local


def _folder(home: Home) -> Finding:
    existing, room = _free_space(home.root)
    cure = "name another one: EVERLINE_HOME=/path, or --home"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("folder", False, f"{home.root}: {existing} cannot be written to", cure)
    return Finding("folder", room >= 1, f"{home.root}, {room:.1f} GB free", f"free 1 GB, or {cure}")


def _secrets(home: Home) -> Iterator[Finding]:
    """Say where the secrets that API and worker share come from, and how to set own ones."""
    if home.credentials.exists():
        detail = f"generated for this stack, in {home.credentials}: back it up"
        yield Finding("the stack's secrets", True, detail)
    title, source = "secrets", "your shell or .env"
    try:
        derived = derived_secrets(load(SharedSecrets))
    except SettingsError as problem:
        faults = [line.strip() for line in str(problem).splitlines()[1:]]
        if faults != ["LIVEKIT_API_SECRET is not set"]:
            yield Finding(title, False, "; ".join(faults), f"correct these variables in {source}")
        return
    if derived:
        names = " and ".join(derived)
        detail = f"{names} not set in {source}: derived from LIVEKIT_API_SECRET; {OWN_SECRETS}"
        yield Finding(title, True, detail)
    else:
        yield Finding(title, True, f"set in {source}")


def _ports(home: Home, environ: Mapping[str, str]) -> Finding:
    try:
        ports = choose_ports({}, environ, read_ports(home))
        require_free_ports(ports, PART_NAMES)
    except StackError as problem:
        first, *rest = str(problem).splitlines()
        return Finding("ports", False, first, "\n          ".join(rest) or "give another port")
    return Finding("ports", True, f"free; the API's is {ports.api}")


def _process(process: ProcessState) -> Finding:
    name = process.name
    if process.state == "left_out":
        return Finding(name, True, f"left out; everline start {name} starts it")
    detail = f"{process.state}, pid {process.pid}, restarts {process.restarts}"
    if process.last_restart:
        detail += f" (it {process.last_restart})"
    return Finding(
        name,
        process.state == "running",
        f"{detail} {process.reason}".rstrip(),
        f"read its log: everline logs {name}   ({process.log})",
    )


def _sessions_need(api: str) -> Iterator[Finding]:
    """Report what `/health/agent` says about everything that a session needs."""
    try:
        with waiting_for(f"{api}/health/agent"):
            report = asyncio.run(fetch_agent_health(api))
    except NotHealthyError as problem:
        yield Finding("agent health", False, str(problem), "see `everline logs api`")
        return
    for title, verdict in (
        # First: a wrong clock makes other checks fail for no reason of their own.
        ("clocks", report.clocks),
        ("API reaches LiveKit", report.livekit),
        ("Temporal workers", report.temporal),
        ("agent workers", report.agents),
        ("LiveKit's webhooks", report.livekit_webhooks),
        ("installations", report.installations),
    ):
        if verdict is not None:
            cure = verdict.cure or "see `everline status`"
            yield Finding(title, verdict.ok, verdict.detail, cure)
