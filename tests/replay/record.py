"""Record the histories of this release: `make record-histories`.

Boots a stack of its own, has one session take each way to its end, and keeps what Temporal has
stored of it, decoded, without what names this machine. The histories go to the release's own folder
in `tests/replay/histories`; those of earlier releases stay, because their sessions may be open.
"""

import asyncio
import json
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from temporalio.client import WorkflowHistory

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus
from tests.harness.agent_servers import few_places
from tests.harness.histories import in_clear, payloads
from tests.harness.plain_agents import plain_agents
from tests.harness.rig import Rig, running_rig
from tests.waiting import eventually

FOLDER = Path(__file__).parent / "histories" / version("everline")
PROCESS = re.compile(rf"\d+@{re.escape(socket.gethostname())}")
Scenario = Callable[[Rig], Awaitable[SessionKey]]


async def completed(rig: Rig) -> SessionKey:
    """A whole call, ended on request."""
    async with rig.call() as call:
        await call.type("A table for two, please.", expect="table for two")
        await rig.client.end(call.session_id)
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def report_missing(rig: Rig) -> SessionKey:
    """The agent is stopped, so that its report never comes."""
    async with rig.call(limits={"report_grace": 2}) as call:
        (await rig.job(call.key)).send_signal(signal.SIGSTOP)
        await rig.client.end(call.session_id)
        await _closes_as(rig, call.key, Outcome.REPORT_MISSING)
        (await rig.job(call.key)).send_signal(signal.SIGKILL)
    return call.key


async def agent_failed(rig: Rig) -> SessionKey:
    """The agent cannot start."""
    started = await rig.client.start(agent_config={"engine": {"stt": "deepgram/nova-3"}})
    await _closes_as(rig, started.key, Outcome.AGENT_FAILED)
    return started.key


async def caller_never_joined(rig: Rig) -> SessionKey:
    """The caller never comes."""
    started = await rig.client.start(limits={"caller_wait": 1})
    await _closes_as(rig, started.key, Outcome.CALLER_NEVER_JOINED)
    return started.key


async def replaced_agent(rig: Rig) -> SessionKey:
    """The agent's process is killed, and another agent takes over."""
    async with rig.call() as call:
        (await rig.job(call.key)).send_signal(signal.SIGKILL)
        await rig.client.until(call.session_id, 60, attempt=2, state=SessionState.LIVE)
        await rig.client.end(call.session_id)
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def cancelled(rig: Rig) -> SessionKey:
    """Somebody cancels the workflow."""
    async with rig.call() as call:
        await rig.histories.session(call.key).cancel()
        await _closes_as(rig, call.key, Outcome.CANCELLED)
    return call.key


async def archive_deferred(rig: Rig) -> SessionKey:
    """MongoDB is away at the end, and the archive follows."""
    async with rig.call(limits={"archive_wait": 1}) as call:
        await rig.stack.stop_part("mongodb")
        await rig.client.end(call.session_id)
        await rig.client.until(call.session_id, 60, state=SessionState.CLOSED)
        await rig.stack.start_part("mongodb")

    async def summarised() -> bool:
        return len(await rig.histories.of_session(call.key)) == 3

    await eventually(summarised, 60, "the archive and the summary follow")
    return call.key


async def agent_ends(rig: Rig) -> SessionKey:
    """A whole call that its agent ends: nobody has spoken for too long."""
    async with rig.call(agent_config={"silence": {"nudges": 0, "end_after": 2}}) as call:
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def caller_left(rig: Rig) -> SessionKey:
    """The caller hangs up."""
    async with rig.call(limits={"caller_return": 1}) as call:
        pass
    await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def max_duration(rig: Rig) -> SessionKey:
    """The call is as long as it may be."""
    async with rig.call(limits={"max_duration": 8}) as call:
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def extend(rig: Rig) -> SessionKey:
    """The call may last longer than it could at first."""
    async with rig.call() as call:
        await _control(rig, call.key, "extend", {"seconds": 60})
        await rig.client.end(call.session_id)
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def redispatch(rig: Rig) -> SessionKey:
    """An operator replaces a healthy agent."""
    async with rig.call() as call:
        await _control(rig, call.key, "redispatch")
        await rig.client.until(call.session_id, 60, attempt=2, state=SessionState.LIVE)
        await rig.client.end(call.session_id)
        await _closes_as(rig, call.key, Outcome.COMPLETED)
    return call.key


async def finalise(rig: Rig) -> SessionKey:
    """The agent is stopped, and an operator waits no longer for its report."""
    async with rig.call(limits={"report_grace": 300}) as call:
        (await rig.job(call.key)).send_signal(signal.SIGSTOP)
        await rig.client.end(call.session_id)
        await rig.client.until(call.session_id, 60, state=SessionState.ENDING)
        await _control(rig, call.key, "finalise")
        await _closes_as(rig, call.key, Outcome.REPORT_MISSING)
        (await rig.job(call.key)).send_signal(signal.SIGKILL)
    return call.key


async def room_lost(rig: Rig) -> SessionKey:
    """Somebody else deletes the room."""
    async with rig.call() as call:
        await rig.rooms.livekit.delete(call.started.room)
        await _closes_as(rig, call.key, Outcome.ROOM_LOST)
    return call.key


async def agent_lost(rig: Rig) -> SessionKey:
    """The agent's process is killed, and no other may take over."""
    async with rig.call(limits={"max_replacements": 0}) as call:
        (await rig.job(call.key)).send_signal(signal.SIGKILL)
        await _closes_as(rig, call.key, Outcome.AGENT_LOST)
    return call.key


async def external_agent(rig: Rig) -> SessionKey:
    """An external agent, which a listener hears, and which ends with its caller."""
    limits = {"report_grace": 3, "join_timeout": 40, "caller_return": 1}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await stack.enter_async_context(plain_agents(rig, folder))
        started = await rig.client.start(limits=limits)
        async with rig.joined(started) as call:
            await rig.client.until(call.session_id, 90, state=SessionState.LIVE)
            await call.until_present()
            await rig.client.until_turns(call.session_id, 1)
        await _closes_as(rig, started.key, Outcome.REPORT_MISSING)
    return started.key


async def queue(rig: Rig) -> SessionKey:
    """The session waits until another call ends and leaves it its place."""
    async with AsyncExitStack() as stack:
        first = await _only_place_taken(rig, stack)
        started = await rig.client.start(wait="accepted", limits={"queue_seconds": 300})
        await rig.client.until(started.key.session_id, 60, state=SessionState.QUEUED)
        await rig.client.end(first.session_id)
        await rig.client.until(started.key.session_id, 90, agent_joined=True)
        await rig.client.end(started.key.session_id)
        await rig.client.closed(started.key.session_id)
    return started.key


async def no_capacity(rig: Rig) -> SessionKey:
    """The session waits for a place, and gets none in time."""
    async with AsyncExitStack() as stack:
        first = await _only_place_taken(rig, stack)
        started = await rig.client.start(wait="accepted", limits={"queue_seconds": 2})
        await _closes_as(rig, started.key, Outcome.NO_CAPACITY)
        await rig.client.end(first.session_id)
        await rig.client.closed(first.session_id)
    return started.key


async def agent_never_joined(rig: Rig) -> SessionKey:
    """No agent worker runs; the last scenario, because it stops the one there is."""
    await rig.stack.stop_part("agent")
    started = await rig.client.start(limits={"join_timeout": 1, "join_attempts": 2})
    await _closes_as(rig, started.key, Outcome.AGENT_NEVER_JOINED)
    return started.key


SCENARIOS: tuple[Scenario, ...] = (
    completed,
    report_missing,
    agent_failed,
    caller_never_joined,
    replaced_agent,
    cancelled,
    archive_deferred,
    agent_ends,
    caller_left,
    max_duration,
    extend,
    redispatch,
    finalise,
    room_lost,
    agent_lost,
    external_agent,
    queue,
    no_capacity,
    agent_never_joined,
)
NAMES = [scenario.__name__ for scenario in SCENARIOS]


async def _only_place_taken(rig: Rig, stack: AsyncExitStack) -> SessionKey:
    """An agent server with one place, until the stack is left, and the session that has it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    await stack.enter_async_context(few_places(rig, folder, 1))
    started = await rig.client.start(wait="joined", limits={"caller_wait": 600})
    rig.know(started.key)
    return started.key


async def _control(
    rig: Rig, key: SessionKey, what: str, body: dict[str, float] | None = None
) -> None:
    answer = await rig.client.http.post(f"/v1/sessions/{key.session_id}/{what}", json=body)
    answer.raise_for_status()


async def _closes_as(rig: Rig, key: SessionKey, outcome: Outcome) -> SessionStatus:
    closed = await rig.client.closed(key.session_id, 60)
    assert closed.outcome is outcome, closed
    return closed


async def _keep(rig: Rig, name: str, key: SessionKey) -> None:
    """Write a session's history once it is complete, and the first of each kind of child."""
    for history in await rig.histories.of_session(key):
        await rig.histories.client.get_workflow_handle(history.workflow_id).result()
    for history in await rig.histories.of_session(key):
        kind = history.workflow_id.partition("/")[0]
        if kind == "session" or not list(FOLDER.glob(f"*-{kind}.json")):
            suffix = "" if kind == "session" else f"-{kind}"
            _write(FOLDER / f"{name}{suffix}.json", await in_clear(history, rig.codec))


def _write(path: Path, history: WorkflowHistory) -> None:
    """Write one event a line, so that a new recording can be compared with the old one."""
    for event in history.events:
        for payload in payloads(event):
            payload.data = _without_stack_trace(payload.data)
    events = [json.dumps(_nameless(event)) for event in history.to_json_dict()["events"]]
    path.write_text('{"events": [\n' + ",\n".join(events) + "\n]}\n", encoding="utf-8")


def _without_stack_trace(data: bytes) -> bytes:
    """An encoded failure without the paths of the machine on which it happened."""
    if b'"stack_trace"' not in data:
        return data
    return json.dumps(json.loads(data) | {"stack_trace": ""}).encode()


def _nameless(value: Any) -> Any:
    """Without the names of this machine's processes, `pid@host`, alone or in a queue's name."""
    if isinstance(value, dict):
        return {name: _nameless(one) for name, one in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_nameless(one) for one in cast(list[Any], value)]
    return PROCESS.sub("recorded", value) if isinstance(value, str) else value


async def record(names: list[str]) -> None:
    """Record the scenarios of these names; all of this release's if there are none."""
    if not names:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="everline-record-") as home:
        async with running_rig(Path(home)) as rig:
            for scenario in SCENARIOS:
                if names and scenario.__name__ not in names:
                    continue
                await _keep(rig, scenario.__name__, await scenario(rig))
                sys.stdout.write(f"recorded {scenario.__name__}\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
