"""`everline doctor`: checks this machine and the stack, and says how to fix what is wrong."""

import asyncio
import ipaddress
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import psutil
import typer
from rich.console import Console

from cli.speech_check import SpeechFault, are_models_installed, try_models, try_models_alone
from stack.binaries import SERVERS, Server
from stack.binaries.locate import find_built, find_fault, find_on_path, passed_over
from stack.binaries.toolchain import find_uv
from stack.errors import StackError
from stack.layout.environment import Addresses
from stack.layout.home import Home, find_cache
from stack.layout.ports import Ports, choose_ports, read_ports, require_free_ports
from stack.layout.wanted import PART_NAMES, read_wanted
from stack.supervision.health import NotHealthyError, fetch_agent_health
from stack.supervision.state import StackState, read_state

_BUILD_BYTES = 6 * 1024**3
_HOME_BYTES = 1024**3
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


def doctor(context: typer.Context) -> None:
    """Check this machine and the stack; exits with 1 if anything is wrong."""
    home: Home = context.obj
    console = Console(soft_wrap=True)
    healthy = True
    for finding in chain(examine(home, os.environ), examine_speech(home, os.environ)):
        mark = "[green]✓[/green]" if finding.ok else "[red]✗[/red]"
        console.print(f"{mark} {finding.title:<20}", end="", highlight=False)
        console.print(finding.detail, markup=False, highlight=False)
        if not finding.ok:
            healthy = False
            console.print(f"    cure: {finding.cure}", markup=False, highlight=False)
    raise typer.Exit(0 if healthy else 1)


def examine(home: Home, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check everything but the speech models."""
    yield _python()
    for server in SERVERS:
        yield _server(server, environ)
    yield _interface()
    yield _folder(home)
    state = read_state(home)
    if state.supervisor_pid is None:
        yield _ports(home, environ)
        yield Finding("stack", True, f"not running ({home.root})")
        return
    yield from _processes(state)
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
        return
    if not running and not are_models_installed():
        yield Finding(title, False, "not installed", "run `make setup`")
        return
    try:
        if running:
            detail = asyncio.run(try_models(Addresses(read_ports(home) or Ports()).models))
        else:
            detail = asyncio.run(try_models_alone(home, wanted, environ))
    except SpeechFault as fault:
        cure = "see `everline logs models`" if running else "run `make setup` again"
        yield Finding(title, False, str(fault), f"{cure}, and check the EVERLINE_MODELS_… settings")
        return
    yield Finding(title, True, detail)


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
        return _named_server(server, title, Path(named).expanduser())
    found = find_on_path(server, environ) or find_built(server, environ)
    reason = passed_over(server, environ)
    note = f"; {reason}" if reason else ""
    if found:
        return Finding(title, True, f"{found}{note}")
    cache = find_cache(environ)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    room = shutil.disk_usage(existing).free
    if room < _BUILD_BYTES:
        return Finding(
            title,
            False,
            f"not built yet, and only {room / 1024**3:.1f} GB free in {existing}",
            f"free 6 GB, or set XDG_CACHE_HOME to a larger disk, or install it: {server.install}",
        )
    try:
        uv = shutil.which("go", path=environ.get("PATH")) or find_uv(environ)
    except StackError as problem:
        return Finding(title, False, "not built yet", str(problem))
    detail = f"built at the first start ({server.build_minutes} min), by {uv}{note}"
    return Finding(title, True, detail)


def _named_server(server: Server, title: str, program: Path) -> Finding:
    """Report a known fault; the user's choice is used all the same."""
    cure = f"unset {server.variable}; a good one is then built once"
    if not os.access(program, os.X_OK):
        return Finding(title, False, f"{program} is not an executable program", cure)
    fault = find_fault(server, program)
    return Finding(title, fault is None, f"{program}: {fault}" if fault else str(program), cure)


def _interface() -> Finding:
    """WebRTC in Python ignores the loopback interface: another one must have an address."""
    usable = [
        name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if _is_routable(address.address) and psutil.net_if_stats()[name].isup
    ]
    return Finding(
        "network for WebRTC",
        bool(usable),
        ", ".join(sorted(set(usable))) or "only the loopback interface has an address",
        "give any other interface an address, for instance: "
        "ip link add everline type dummy && ip addr add 10.99.99.1/32 dev everline "
        "&& ip link set everline up",
    )


def _folder(home: Home) -> Finding:
    existing = next(path for path in (home.root, *home.root.parents) if path.exists())
    cure = "name another one: EVERLINE_HOME=/path, or --home"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("folder", False, f"{home.root}: {existing} cannot be written to", cure)
    room = shutil.disk_usage(existing).free
    detail = f"{home.root}, {room / 1024**3:.1f} GB free"
    return Finding("folder", room >= _HOME_BYTES, detail, f"free 1 GB, or {cure}")


def _is_routable(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a hardware address
        return False
    return not parsed.is_loopback and not parsed.is_link_local


def _ports(home: Home, environ: Mapping[str, str]) -> Finding:
    try:
        ports = choose_ports({}, environ, read_ports(home))
        require_free_ports(ports, PART_NAMES)
    except StackError as problem:
        first, *rest = str(problem).splitlines()
        return Finding("ports", False, first, "\n          ".join(rest) or "give another port")
    return Finding("ports", True, f"free; the API's is {ports.api}")


def _processes(state: StackState) -> Iterator[Finding]:
    for process in state.processes:
        if process.state == "left_out":
            yield Finding(process.name, True, f"left out; everline start {process.name} starts it")
            continue
        detail = f"{process.state}, pid {process.pid}, restarts {process.restarts}"
        if process.last_restart:
            detail += f" (it {process.last_restart})"
        yield Finding(
            process.name,
            process.state == "running",
            f"{detail} {process.reason}".rstrip(),
            f"read its log: everline logs {process.name}   ({process.log})",
        )


def _sessions_need(api: str) -> Iterator[Finding]:
    """Report what `/health/agent` says about everything that a session needs."""
    try:
        report = asyncio.run(fetch_agent_health(api))
    except NotHealthyError as problem:
        yield Finding("agent health", False, str(problem), "see `everline logs api`")
        return
    for title, verdict in (
        ("API reaches LiveKit", report.livekit),
        ("Temporal workers", report.temporal),
        ("agent workers", report.agents),
        ("LiveKit's webhooks", report.livekit_webhooks),
        ("installations", report.installations),
    ):
        if verdict is not None:
            cure = verdict.cure or "see `everline status`"
            yield Finding(title, verdict.ok, verdict.detail, cure)
