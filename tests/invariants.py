"""The invariants of the design, checked over MongoDB, Temporal, LiveKit and the client's ledger.

Each check returns sentences about what is violated; none means that it holds. I8 (an org never
learns of another's data) is a matter of requests, and so of the end-to-end tests.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import TerminatedError
from temporalio.workflow import NondeterminismError

from adapters.mongo.archive import MongoArchive
from adapters.temporal.directory import found_by
from adapters.temporal.encryption import data_converter
from adapters.temporal.sessions import TemporalSessions
from domain.agents.places import PlaceState
from domain.ids import SessionKey, summary_workflow_id
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from domain.transcripts.transcript import ordered, transcript_digest
from stack.layout.wanted import PART_NAMES
from tests.harness.histories import stored_bytes
from tests.harness.rig import DATABASE, Rig, keyring
from tests.replaying import replay
from tests.waiting import eventually

Violations = list[str]

_HARMLESS_CAUSES = {
    # A message arrived while the workflow was about to go on: Temporal has it look again.
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    # An operator has reset the workflow.
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
}
RESULT_SECONDS = 5.0
"""How long the result of a workflow that has ended may take."""


async def turns_are_kept(rig: Rig) -> Violations:
    """I1: every acknowledged turn is in the transcript once, in order."""
    return [
        violation
        for key in rig.ledger.sessions
        if rig.archive is not None
        for violation in await _turns_of(rig.archive, rig, key)
    ]


async def _turns_of(archive: MongoArchive, rig: Rig, key: SessionKey) -> Violations:
    stored = await archive.transcripts.turns(key)
    header = await archive.transcripts.header(key)
    found: Violations = []
    times = Counter((turn.attempt, turn.item_id) for turn in stored)
    texts = {(turn.attempt, turn.item_id): turn.text for turn in stored}
    for turn_key, turn in rig.ledger.turns.get(key, {}).items():
        if times[turn_key] != 1:
            found.append(f"I1 {key}: turn {turn_key} is in the transcript {times[turn_key]} times")
        elif turn.text and texts[turn_key] != turn.text:
            found.append(f"I1 {key}: turn {turn_key} has another text than was acknowledged")
    if stored != ordered(stored):
        found.append(f"I1 {key}: the transcript is not in order")
    if header is None:
        found.append(f"I1 {key}: the transcript was never sealed")
    elif (header.turn_count, header.digest) != (len(stored), transcript_digest(stored)):
        found.append(f"I1 {key}: the header is not of these turns")
    return found


async def each_session_ends_once(rig: Rig) -> Violations:
    """I2: every accepted session reaches exactly one terminal state and never leaves it."""
    found = [f"I2 {key}: open again after it was closed" for key in rig.ledger.reopened]
    for key in rig.ledger.sessions:
        ending = await _ending_of(rig, key)
        if ending is None:
            found.append(f"I2 {key}: it has not ended")
            continue
        seen = rig.ledger.endings.get(key, set())
        if seen - {ending}:
            found.append(f"I2 {key}: ended as {ending}, clients were shown {seen}")
        if rig.archive is None:
            continue
        record = await rig.archive.sessions.get(key)
        if record is None or record.state is not SessionState.CLOSED:
            found.append(f"I2 {key}: its record is not closed: {record and record.state}")
        elif (record.outcome, record.end_reason) != ending:
            found.append(f"I2 {key}: recorded as {record.outcome}, ended as {ending}")
    return found


async def _ending_of(rig: Rig, key: SessionKey) -> tuple[Outcome | None, EndReason | None] | None:
    """How a session has to be recorded, by its workflow; None while that is open."""
    try:
        async with asyncio.timeout(RESULT_SECONDS):
            result = await rig.histories.session(key).result()
    except TimeoutError:
        return None
    except WorkflowFailureError as failure:
        if isinstance(failure.cause, TerminatedError):
            return Outcome.FAILED, EndReason.FAILED
        raise
    return result.outcome, result.end_reason


async def one_summary_each(rig: Rig) -> Violations:
    """I3: at most one summary for each session, by one writer."""
    found: Violations = []
    for key in rig.ledger.sessions:
        runs = await rig.histories.runs(summary_workflow_id(key))
        if len(runs) > 1:
            found.append(f"I3 {key}: {len(runs)} summary workflows")
        if rig.mongo is not None:
            query = {"org": key.org, "session_id": key.session_id}
            count = await rig.mongo[DATABASE]["summaries"].count_documents(query)
            if count > 1:
                found.append(f"I3 {key}: {count} summaries")
    return found


async def one_event_of_each_kind(rig: Rig) -> Violations:
    """I3: at most one event id of each kind for each session, however many endpoints are told."""
    if rig.mongo is None:
        return []
    ids: defaultdict[tuple[SessionKey, str], set[str]] = defaultdict(set)
    async for delivery in rig.mongo[DATABASE]["webhook_deliveries"].find({}):
        key = SessionKey(delivery["org"], delivery["session_id"] or "")
        if key in rig.ledger.sessions:
            ids[key, delivery["event"]].add(delivery["event_id"])
    doubled = ((key, kind, len(found)) for (key, kind), found in ids.items() if len(found) > 1)
    return [f"I3 {key}: {count} ids of {kind}" for key, kind, count in doubled]


async def no_room_is_left(rig: Rig) -> Violations:
    """I4: no room of ours after its session ended."""
    left = await rig.rooms.names() & rig.ledger.rooms().keys()
    return [f"I4 room {name} is still there" for name in sorted(left)]


async def never_two_agents(rig: Rig) -> Violations:
    """I5: never two active agents in a room for more than 5 s, as the watch saw it."""
    return [f"I5 two agents in {seen}" for seen in dict.fromkeys(rig.ledger.crowded)]


async def each_start_has_a_workflow(rig: Rig) -> Violations:
    """I6: every 2xx start has a workflow; the same idempotency key gives the same session."""
    found: Violations = []
    by_key: dict[tuple[str, str], set[SessionKey]] = defaultdict(set)
    for start in rig.ledger.starts:
        if start.idempotency_key:
            by_key[start.key.org, start.idempotency_key].add(start.key)
        if not await rig.histories.of_session(start.key):
            found.append(f"I6 {start.key}: accepted, and there is no workflow")
    found += [f"I6 key {one}: {sessions}" for one, sessions in by_key.items() if len(sessions) > 1]
    return found


async def histories_replay(rig: Rig) -> Violations:
    """I7: no workflow task fails repeatedly; every recorded history replays."""
    converter = data_converter(keyring(rig.stack))
    found: Violations = []
    for key in rig.ledger.sessions:
        for history in await rig.histories.of_session(key):
            found += [f"I7 {history.workflow_id}: {cause}" for cause in failed_tasks(history)]
            try:
                await replay(history, converter)
            except (NondeterminismError, RuntimeError) as error:
                found.append(f"I7 {history.workflow_id} does not replay: {error}")
    return found


def failed_tasks(history: WorkflowHistory) -> list[str]:
    """Why workflow tasks of a history failed, except for what is part of Temporal's daily life."""
    causes = [
        event.workflow_task_failed_event_attributes.cause
        for event in history.events
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    return [
        WorkflowTaskFailedCause.Name(cause) for cause in causes if cause not in _HARMLESS_CAUSES
    ]


async def nothing_private_is_seen(rig: Rig) -> Violations:
    """I9: no secret and no transcript text in logs, history, search attributes, error bodies."""
    private = rig.ledger.secrets | _spoken(rig)
    places = {"an error's body": "\n".join(rig.ledger.error_bodies).encode()}
    for name in PART_NAMES:
        log = rig.stack.home.log(name)
        places[f"the log of {name}"] = log.read_bytes() if log.exists() else b""
    for key in rig.ledger.sessions:
        for history in await rig.histories.of_session(key):
            places[f"the history of {history.workflow_id}"] = stored_bytes(history)
    return [
        f"I9 {where} shows {secret[:12]!r}…"
        for where, content in places.items()
        for secret in sorted(private)
        if secret.encode() in content
    ]


def _spoken(rig: Rig) -> set[str]:
    """Sentences of the transcripts; a single word may be in a log for other reasons."""
    texts = {turn.text for turns in rig.ledger.turns.values() for turn in turns.values()}
    return {text for text in texts if len(text.split()) > 2} | {"evcb_"}


CHECKS: Sequence[Callable[[Rig], Awaitable[Violations]]] = (
    turns_are_kept,
    each_session_ends_once,
    one_summary_each,
    one_event_of_each_kind,
    no_room_is_left,
    never_two_agents,
    each_start_has_a_workflow,
    histories_replay,
    nothing_private_is_seen,
)
DEADLINE = 90.0
"""Seconds that what follows a close (summary, room, late material) may take."""


async def violations(rig: Rig) -> Violations:
    """Everything that is violated in the sessions of a rig right now."""
    return [violation for check in CHECKS for violation in await check(rig)]


async def require_invariants(rig: Rig) -> None:
    """Wait until the archive and the rooms have settled, then require every invariant.

    Raises:
        AssertionError: listing every violation.
    """
    settled = (turns_are_kept, each_session_ends_once, no_room_is_left)

    async def quiet() -> bool:
        return not [violation for check in settled for violation in await check(rig)]

    with suppress(AssertionError):  # said in full below
        await eventually(quiet, DEADLINE)
    found = await violations(rig)
    assert not found, "\n".join([f"{len(found)} violations:", *found])


async def places_balance(
    archive: MongoArchive, client: Client, task_queue: str | None = None
) -> Violations:
    """Reserved = running + dispatching: who uses a place holds one, and who holds one uses it.

    Ask once things have settled: for a moment, a session may hold what it is not yet told of, or
    what it is about to release. With a `task_queue`, only its sessions count.
    """
    places, queue = await archive.places.all_places(), await archive.places.queue()
    numbers = Counter((place.agent_name, place.number) for place in places)
    found = [f"place {number} is held twice" for number, times in numbers.items() if times > 1]
    using, waiting = await _using_and_waiting(client, task_queue)
    held, queued = {place.key for place in places}, {entry.key for entry in queue}
    for keys, what in (
        (held - using, "holds a place, and uses none"),
        (using - held, "uses a place, and holds none"),
        (queued - waiting, "is in the queue, and does not wait"),
        (waiting - queued, "waits, and is not in the queue"),
    ):
        found += [f"{key} {what}" for key in sorted(keys)]
    return found


async def require_places_balance(
    archive: MongoArchive, client: Client, task_queue: str | None = None
) -> None:
    """Wait until the places balance.

    Raises:
        AssertionError: they do not, listing every violation.
    """
    found: Violations = []

    async def balanced() -> bool:
        found[:] = await places_balance(archive, client, task_queue)
        return not found

    try:
        await eventually(balanced, DEADLINE)
    except AssertionError:
        raise AssertionError("\n".join(found)) from None


async def _using_and_waiting(
    client: Client, task_queue: str | None
) -> tuple[set[SessionKey], set[SessionKey]]:
    """The open sessions that have a place, or are about to use it; and those that wait for one."""
    sessions = TemporalSessions(client, "")
    using, waiting = set[SessionKey](), set[SessionKey]()
    running = "WorkflowType = 'session' AND ExecutionStatus = 'Running'"
    if task_queue:
        running += f" AND TaskQueue = '{task_queue}'"
    async for key, _ in found_by(client, running):
        place = (await sessions.input(key)).place
        status = await sessions.status(key)
        if place is None or status.foreign_agent or status.state.call_is_over():
            continue
        begins = status.state is SessionState.STARTING and place is PlaceState.QUEUED
        waits = status.state is SessionState.QUEUED or begins
        (waiting if waits else using).add(key)
    return using, waiting
