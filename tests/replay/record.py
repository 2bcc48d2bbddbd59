"""Record the histories of `tests/replay/histories` anew: `make record-histories`.

Boots a stack of its own, has one session take each way to its end, and keeps what Temporal has
stored of it, decoded, without what names this machine.
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
from pathlib import Path
from typing import Any, cast

from temporalio.client import WorkflowHistory

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus
from tests.harness.histories import in_clear, payloads
from tests.harness.rig import Rig, running_rig
from tests.waiting import eventually

FOLDER = Path(__file__).parent / "histories"
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
    agent_never_joined,
)


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


async def record() -> None:
    """Record everything."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with tempfile.TemporaryDirectory(prefix="everline-record-") as home:
        async with running_rig(Path(home)) as rig:
            for scenario in SCENARIOS:
                await _keep(rig, scenario.__name__, await scenario(rig))
                sys.stdout.write(f"recorded {scenario.__name__}\n")


if __name__ == "__main__":
    asyncio.run(record())
