"""What must hold when the dust has settled, beyond the invariants of every end-to-end test."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus

from adapters.mongo.agents.places import PLACES, QUEUE
from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState, SessionStatus
from tests.chaos.machine.call_log import CallLog
from tests.chaos.machine.callers import Callers
from tests.chaos.machine.outside import Operator
from tests.harness.client import Client
from tests.harness.rig import DATABASE, Rig
from tests.invariants import (
    DEADLINE,
    Violations,
    each_session_ends_once,
    no_room_is_left,
    turns_are_kept,
    violations,
)
from tests.waiting import eventually

SLACK = timedelta(seconds=4)
"""By which a session may misjudge a moment although nothing was broken."""
UNNOTICED = timedelta(seconds=60)
"""How long the loss of a whole LiveKit may go unnoticed: its restart, and a worker's beside it."""


async def judge(
    rig: Rig, stranger: Client, callers: Callers, operator: Operator, broken: timedelta
) -> Violations:
    """Everything that is violated, once what follows the calls has had its time.

    Args:
        rig: with the ledger of the run.
        stranger: a client of another org, which may see nothing.
        callers: what they saw.
        operator: what was done to workflows from outside.
        broken: the longest time in which faults may have hidden what happened in a room.
    """

    async def quiet() -> bool:
        return not [told for check in SETTLING for told in await check(rig)]

    with suppress(AssertionError):  # told in full below
        await eventually(quiet, DEADLINE)
    found = await violations(rig) + await no_place_is_left(rig) + await nothing_is_open(rig)
    found += await orgs_are_apart(rig, stranger)
    for key in rig.ledger.sessions:
        status = await rig.client.status(key.session_id)
        lost = UNNOTICED if status.outcome is Outcome.ROOM_LOST else timedelta()
        found += durations_are_true(status, callers.logs[key], SLACK + broken + lost)
        if status.end_reason is EndReason.FAILED and key not in operator.terminated:
            found.append(f"{key} failed, and nobody terminated it: {status.reason}")
    return found


async def no_place_is_left(rig: Rig) -> Violations:
    """No place and no entry in the queue belongs to a session that is over."""
    if rig.mongo is None or rig.archive is None:
        return []
    found: Violations = []
    for collection in (PLACES, QUEUE):
        async for held in rig.mongo[DATABASE][collection].find({}):
            key = SessionKey(held["org"], held["session_id"])
            record = await rig.archive.sessions.get(key)
            if record is None or record.state is SessionState.CLOSED:
                found.append(f"reservations: {key} is over and still in {collection}")
    return found


async def orgs_are_apart(rig: Rig, stranger: Client) -> Violations:
    """I8: another org learns nothing of any session, not even that it exists."""
    found: Violations = []
    for key in rig.ledger.sessions:
        path = f"/v1/sessions/{key.session_id}"
        for method, url in (
            *(("GET", path), ("GET", f"{path}/turns"), ("GET", f"{path}/summary")),
            *(("POST", f"{path}/end"), ("POST", f"{path}/redispatch")),
        ):
            response = await stranger.http.request(method, url)
            if response.status_code != HTTPStatus.NOT_FOUND:
                found.append(f"I8 {key}: {method} {url} gives {response.status_code} to others")
    return found


async def nothing_is_open(rig: Rig) -> Violations:
    """Every workflow of a session has ended, also of starts whose response was lost."""
    query = "ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH 'session/'"
    client = rig.histories.client
    return [f"I2 {execution.id} is still open" async for execution in client.list_workflows(query)]


SETTLING = (
    turns_are_kept,
    each_session_ends_once,
    no_room_is_left,
    no_place_is_left,
    nothing_is_open,
)
"""What may take a while after the last call."""


def durations_are_true(status: SessionStatus, log: CallLog, slack: timedelta) -> Violations:
    """Talk time and end of a call agree with what its caller saw, and with each other."""
    return [f"durations of {log.key}: {what}" for what in _untrue(status, log, slack)]


def _untrue(status: SessionStatus, log: CallLog, slack: timedelta) -> Iterator[str]:
    if status.state is not SessionState.CLOSED:
        return  # told by I2
    talked, ended, closed = status.talk_seconds, status.ended_at, status.closed_at
    if talked is None or ended is None or closed is None:
        yield f"closed without talk time or times: {talked}, {ended}, {closed}"
        return
    if not status.started_at <= ended <= closed:
        yield f"started {status.started_at}, ended {ended}, closed {closed}"
    if talked > (ended - status.started_at).total_seconds() + 1:
        yield f"talked for {talked:.1f} s, which is longer than the call"
    if not log.caller:
        if talked > 0:
            yield f"talked for {talked:.1f} s, and its caller never came"
        if status.outcome is Outcome.COMPLETED:
            yield "completed, and its caller never came"
        return
    together = log.seconds_together()
    if talked > together + slack.total_seconds():
        yield f"talked for {talked:.1f} s, its caller saw an agent for {together:.1f} s"
    over = log.over_at()
    if over is not None and ended > over + slack:
        yield f"ended {_clock(ended)}, over for its caller {_clock(over)}"


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S.%f")[:-4]
