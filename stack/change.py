"""`everline up` on a running stack: settings are applied, what needs a restart is refused."""

import os
from collections.abc import Iterator, Mapping

import psutil

from stack.errors import StackError
from stack.layout.environment import variables_for_a_stack
from stack.layout.home import Home
from stack.layout.ports import SETTINGS, Ports, choose_ports, read_ports
from stack.layout.wanted import read_wanted
from stack.supervision.control import await_running, await_started, change_parts
from stack.supervision.state import StackState, find_supervisor
from stack.up import UpRequest


def change_running(home: Home, request: UpRequest) -> list[str]:
    """Apply the settings of a request to the stack that is running, and wait until it runs again.

    Returns:
        A sentence for each part that changed.

    Raises:
        StackError: The request asks for what only a restart can change (nothing was changed), or a
            part did not start again.
    """
    state = await_started(home)
    supervisor = find_supervisor(state)
    if supervisor is None or state.state == "stopping":
        raise StackError(f"the stack of {home.root} is ending; run `everline up` once it has ended")
    if refused := list(_needs_a_restart(home, request, state, supervisor)):
        raise StackError(
            f"This stack is already {state.state} (pid {supervisor.pid}, {home.root}); "
            "nothing was changed:\n" + "\n".join(f"  {reason}" for reason in refused)
        )
    wanted = read_wanted(home)
    changed: dict[str, dict[str, str]] = {}
    for part, given in request.wanted.settings.items():
        if fresh := dict(given.items() - wanted.settings.get(part, {}).items()):
            changed[part] = fresh
    if changed:
        change_parts(home, settings=changed)
    return [_applied(home, part, given, wanted.wants(part)) for part, given in changed.items()]


def _applied(home: Home, part: str, given: Mapping[str, str], wanted: bool) -> str:
    names = ", ".join(sorted(given))
    if not wanted:
        return f"{part} is left out; it gets {names} when it is started."
    await_running(home, part)
    return f"{part} was restarted with {names}."


def _needs_a_restart(
    home: Home, request: UpRequest, state: StackState, supervisor: psutil.Process
) -> Iterator[str]:
    restart = "run `everline down` first"
    running = read_ports(home) or Ports()
    chosen = choose_ports(request.ports, os.environ, running)
    for setting in SETTINGS:
        now, asked = getattr(running, setting.field), getattr(chosen, setting.field)
        if now != asked:
            yield f"{setting.purpose} is on port {now}; to move it to {asked}, {restart}"
    left_out = {process.name for process in state.processes if process.state == "left_out"}
    for part in request.wanted.left_out:
        if part not in left_out:
            yield f"{part} is running; `everline stop {part}` stops it"
    command = supervisor.cmdline()
    if request.reload and "--reload" not in command:
        yield f"it runs without --reload; to change that, {restart}"
    before = variables_for_a_stack(supervisor.environ())
    fresh = variables_for_a_stack(os.environ).items() - before.items()
    ports = {setting.variable for setting in SETTINGS}
    for name in sorted(name for name, _ in fresh if name not in ports):
        yield f"{name} of your shell does not reach it; give it with --set, or {restart}"
