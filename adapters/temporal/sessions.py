"""The workflows of sessions, behind the port `Sessions`; every call has a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.clock import TemporalClock
from adapters.temporal.directory import (
    METADATA_MEMO,
    QUEUE_MEMO,
    describe,
    has_ended,
    is_running,
    status_of,
)
from adapters.temporal.errors import (
    has_never_run,
    is_not_found,
    message_error,
    temporal_error,
    temporal_errors,
    temporal_is_away,
)
from adapters.temporal.message_limits import ChangeLimits
from adapters.temporal.probe import TemporalProbe
from adapters.temporal.shared_calls import SharedCalls
from adapters.temporal.signals import send_signal
from adapters.temporal.task_queue import fair_to, polling_workers
from domain.agents.places import PlaceState
from domain.errors import (
    Conflict,
    IdempotencyMismatch,
    NoCapacity,
    NotFound,
    StaleAttempt,
    Unavailable,
)
from domain.ids import SessionKey, key_of_workflow_id, session_workflow_id
from domain.sessions.messages import (
    AgentReady,
    Extend,
    Finalise,
    ReadyAnswer,
    Redispatch,
    SessionResult,
    WaitUntil,
)
from domain.sessions.ports import Operation, Sessions, Signal, Started
from domain.sessions.session import (
    SessionInput,
    SessionState,
    SessionStatus,
    Stage,
    closed_from_outside,
)
from workflows.session import SessionWorkflow
from workflows.session_parts.search_attributes import ORG, ROOM, search_attributes

Result = TypeVar("Result")
ANSWER_TIMEOUT = 5.0
"""Seconds for a query or an update; without an answer by then, no worker is running."""
DIGEST_MEMO = "request_digest"
_UPDATES: dict[type[Operation], Callable[..., object]] = {
    Extend: SessionWorkflow.extend,
    Redispatch: SessionWorkflow.redispatch,
    Finalise: SessionWorkflow.finalise,
}
_REFUSALS = {
    error.code: error for error in (StaleAttempt, Conflict, IdempotencyMismatch, NoCapacity)
}


class TemporalSessions(Sessions):
    """Starts, queries and updates sessions; keeps only the requests in progress."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._limits = ChangeLimits()
        self._waits = SharedCalls[tuple[SessionKey, Stage], SessionStatus]()
        self._probe = TemporalProbe(client)
        self.clock = TemporalClock(self._probe)

    @override
    async def start(self, request: SessionInput, stage: Stage, seconds: float) -> Started:
        try:
            if stage is Stage.ACCEPTED:
                start = self._client.start_workflow
                with _start_errors():
                    await start(SessionWorkflow.run, request, **self._options(request))
                return Started(request, None)
            return Started(request, await self._start_and_wait(request, stage, seconds))
        except WorkflowAlreadyStartedError:
            return await self.find(request.key, request.request_digest, stage, seconds)

    def _options(self, request: SessionInput) -> dict[str, Any]:
        return {
            "id": session_workflow_id(request.key),
            "task_queue": self._task_queue,
            "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
            "priority": fair_to(request.org),
            "search_attributes": search_attributes(request, datetime.now(UTC)),
            "memo": _memo(request),
            "static_summary": f"call of {request.caller_identity} in {request.livekit_room}"[:200],
        }

    async def _start_and_wait(
        self, request: SessionInput, stage: Stage, seconds: float
    ) -> SessionStatus | None:
        start = WithStartWorkflowOperation(
            SessionWorkflow.run,
            request,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            **self._options(request),
        )
        # No update id: Temporal would give this start's result to every request with the same id.
        # The SDK's overloads leave type parameters open, here and at the other updates.
        wait = self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.wait_until,
            WaitUntil(stage=stage),
            start_workflow_operation=start,
            rpc_timeout=timedelta(seconds=seconds),
        )
        # The SDK sets a failed start in this future as well: retrieve it, or asyncio would warn.
        handle = asyncio.ensure_future(start.workflow_handle())
        handle.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(seconds):
                with _start_errors():
                    return await wait
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            # A time-out alone does not tell whether the session was started.
            if not await self.exists(request.key):
                raise temporal_is_away("the start timed out") from None
            return None
        finally:
            handle.cancel()

    @override
    async def find(self, key: SessionKey, digest: str, stage: Stage, seconds: float) -> Started:
        description = await describe(self._client, key)
        if description is None:
            raise _no_session()
        memo = await description.memo()
        if memo.get(DIGEST_MEMO) != digest:
            raise IdempotencyMismatch(
                f"session {key.session_id} was started by another request",
                field="sessionId",
                cure="repeat the request unchanged, or use another sessionId or Idempotency-Key",
            )
        # Read what was stored: the agent may have been edited since.
        running = Started(await self.input(key), None, again=True)
        if has_ended(description):
            return replace(running, closed=True)
        if stage is Stage.ACCEPTED:
            return running
        try:
            async with asyncio.timeout(seconds):
                status = await self._waits.run((key, stage), lambda: self._wait(key, stage))
                return replace(running, status=status)
        except (TimeoutError, Unavailable):
            return running
        except NotFound:
            # It ended after it was described.
            return replace(running, closed=True)

    async def _wait(self, key: SessionKey, stage: Stage) -> SessionStatus:
        """The status once a stage is reached, or can no longer be reached.

        Temporal allows ten concurrent updates of a workflow, 2,000 in all, and an update outlives
        the client that waits for it. So each stage has one update, which all clients share. Its
        result may be outdated, so the status is queried.
        """
        update = self._handle(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.wait_until, WaitUntil(stage=stage), id=f"wait_until:{stage.value}"
        )
        await _reach(update)
        return await self.status(key)

    @override
    async def input(self, key: SessionKey) -> SessionInput:
        # The first event of its history.
        events = self._handle(key).fetch_history_events(
            page_size=1, rpc_timeout=timedelta(seconds=ANSWER_TIMEOUT)
        )
        first = await _reach(anext(events))
        given = first.workflow_execution_started_event_attributes.input.payloads
        [request] = await self._client.data_converter.decode(given, [SessionInput])
        return request

    @override
    async def status(self, key: SessionKey) -> SessionStatus:
        return await _reach(self._query_status(key), ANSWER_TIMEOUT)

    async def _query_status(self, key: SessionKey) -> SessionStatus:
        handle = self._handle(key)
        unclean = QueryRejectCondition.NOT_COMPLETED_CLEANLY
        try:
            return await handle.query(SessionWorkflow.status, reject_condition=unclean)
        except WorkflowQueryRejectedError:
            # Terminated, for example: this is its last state.
            last = await self._last_status(key)
        if last.state is SessionState.CLOSED:
            return last
        return closed_from_outside(last, (await handle.describe()).close_time)

    async def _last_status(self, key: SessionKey) -> SessionStatus:
        """What a closed workflow last said, or what its start said if it has never run."""
        handle = self._handle(key)
        try:
            return await handle.query(SessionWorkflow.status)
        except RPCError as error:
            if not has_never_run(error):
                raise
            description = await handle.describe()
            return status_of(key, description, await description.memo())

    @override
    async def claim(self, key: SessionKey, claim: AgentReady) -> ReadyAnswer:
        update = self._handle(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.agent_ready, claim, id=f"{claim.attempt}:{claim.job_id}"
        )
        try:
            return await _reach(update, ANSWER_TIMEOUT)
        except NotFound:
            raise StaleAttempt("the session is closed") from None

    @override
    async def signal(self, key: SessionKey, message: Signal) -> bool:
        try:
            await _reach(send_signal(self._client, key, message))
        except NotFound:
            return False
        return True

    @override
    async def operate(
        self, key: SessionKey, operation: Operation, update_id: str | None
    ) -> SessionStatus:
        name = _UPDATES[type(operation)].__name__
        with self._limits.change(key):
            update = self._handle(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
                name, operation, id=update_id, result_type=SessionStatus
            )
            return await _reach(update, ANSWER_TIMEOUT)

    @override
    async def exists(self, key: SessionKey) -> bool:
        return await describe(self._client, key) is not None

    @override
    async def is_open(self, key: SessionKey) -> bool:
        return await is_running(self._client, key)

    @override
    async def find_by_room(self, org: str, livekit_room: str) -> SessionKey | None:
        query = f"{ORG.name} = '{org}' AND {ROOM.name} = '{livekit_room}'"
        listed = self._client.list_workflows(query, page_size=1)
        with temporal_errors():
            await listed.fetch_next_page()
        found = (key_of_workflow_id(execution.id) for execution in listed.current_page or ())
        return next(found, None)

    @override
    async def pollers(self) -> int:
        patience = timedelta(seconds=ANSWER_TIMEOUT)
        now = (await self.now()).timestamp()
        with temporal_errors():
            return len(await polling_workers(self._client, self._task_queue, now, patience))

    @override
    async def now(self) -> datetime:
        return await self.clock.now()

    @override
    async def probe(self) -> None:
        with temporal_errors():
            await self._probe.check()

    def _handle(self, key: SessionKey) -> WorkflowHandle[SessionWorkflow, SessionResult]:
        return self._client.get_workflow_handle_for(SessionWorkflow.run, session_workflow_id(key))


async def _reach(call: Awaitable[Result], seconds: float | None = None) -> Result:
    """Await a message to a session, for up to `seconds`, and map its errors."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError):
            raise _REFUSALS.get(cause.type or "", Conflict)(cause.message) from None
        raise Conflict("the session refused the update") from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowQueryFailedError):
        raise Unavailable(
            "no worker answered for the session", cure="check that an Everline worker runs"
        ) from None
    except (RPCError, RuntimeError) as error:
        raise _no_session() if is_not_found(error) else message_error(error) from None


@contextmanager
def _start_errors() -> Generator[None]:
    """Map the errors of a start: unlike a message, it carries what the client has sent."""
    try:
        yield
    except (RPCError, RuntimeError) as error:
        raise _no_session() if is_not_found(error) else temporal_error(error) from None


def _memo(request: SessionInput) -> dict[str, Any]:
    memo: dict[str, Any] = {DIGEST_MEMO: request.request_digest}
    if request.metadata:
        memo[METADATA_MEMO] = request.metadata
    if request.place is PlaceState.QUEUED:
        memo[QUEUE_MEMO] = request.limits.queue_seconds
    return memo


def _no_session() -> NotFound:
    return NotFound("there is no such session", field="sessionId")
