"""The workflows of sessions, behind the port `Sessions`: every call is bounded."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
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

from adapters.temporal.errors import is_not_found, temporal_error, temporal_is_away
from adapters.temporal.message_limits import ChangeLimits
from adapters.temporal.probe import TemporalProbe
from adapters.temporal.shared_calls import SharedCalls
from adapters.temporal.signals import send_signal
from adapters.temporal.task_queue import polling_workers
from domain.errors import (
    Conflict,
    EverlineError,
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
from workflows.session_parts.search_attributes import ORG, ROOM, STATE, search_attributes

Result = TypeVar("Result")
Handle = WorkflowHandle[SessionWorkflow, SessionResult]
ANSWER_TIMEOUT = 5.0
"""Seconds that a query or an update may take; longer means that no worker is there."""
DIGEST_MEMO = "request_digest"
_REFUSALS = {
    error.code: error for error in (StaleAttempt, Conflict, IdempotencyMismatch, NoCapacity)
}


class TemporalSessions(Sessions):
    """Starts and talks to sessions; their state is Temporal's, here is only who waits for it."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._limits = ChangeLimits()
        self._waits = SharedCalls[tuple[SessionKey, Stage], SessionStatus]()
        self._probe = TemporalProbe(client)

    @override
    async def start(self, request: SessionInput, stage: Stage, seconds: float) -> Started:
        try:
            if stage is Stage.ACCEPTED:
                await _reach(self._start(request))
                return Started(request, None)
            return Started(request, await self._start_and_wait(request, stage, seconds))
        except WorkflowAlreadyStartedError:
            return await self.find(request.key, request.request_digest, stage, seconds)

    async def _start(self, request: SessionInput) -> Handle:
        return await self._client.start_workflow(
            SessionWorkflow.run,
            request,
            id=session_workflow_id(request.key),
            task_queue=self._task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=search_attributes(request, datetime.now(UTC)),
            memo={DIGEST_MEMO: request.request_digest},
            static_summary=f"call of {request.caller_identity} in {request.livekit_room}"[:200],
        )

    async def _start_and_wait(
        self, request: SessionInput, stage: Stage, seconds: float
    ) -> SessionStatus | None:
        start = WithStartWorkflowOperation(
            SessionWorkflow.run,
            request,
            id=session_workflow_id(request.key),
            task_queue=self._task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            search_attributes=search_attributes(request, datetime.now(UTC)),
            memo={DIGEST_MEMO: request.request_digest},
            static_summary=f"call of {request.caller_identity} in {request.livekit_room}"[:200],
        )
        # Without an id that others can have: Temporal would answer them with this start's result,
        # whatever they ask for. Only the request that starts the workflow makes this update.
        # The SDK's overloads leave type parameters open, here and at the other updates.
        wait = self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.wait_until,
            WaitUntil(stage=stage),
            start_workflow_operation=start,
            rpc_timeout=timedelta(seconds=seconds),
        )
        # The SDK leaves a failed start in this future as well; unread, asyncio would complain.
        handle = asyncio.ensure_future(start.workflow_handle())
        handle.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(seconds):
                return await wait
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            # Durable only if Temporal knows it: a time-out alone says nothing.
            if not await self.exists(request.key):
                raise temporal_is_away("it took no start in time") from None
            return None
        except (RPCError, RuntimeError) as error:
            raise _failure(error) from None
        finally:
            handle.cancel()

    @override
    async def find(self, key: SessionKey, digest: str, stage: Stage, seconds: float) -> Started:
        description = await self._describe(key)
        memo = await description.memo()
        if memo.get(DIGEST_MEMO) != digest:
            raise IdempotencyMismatch(
                f"session {key.session_id} was started by another request",
                field="sessionId",
                cure="repeat the request unchanged, or use another sessionId or Idempotency-Key",
            )
        # What the same request would resolve to now can be something else: agents are edited.
        running = Started(await self._input(key), None, again=True)
        # A closed session's workflow stays open until its room is gone.
        state = description.typed_search_attributes.get(STATE)
        if description.status is not WorkflowExecutionStatus.RUNNING or state == "closed":
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
            # It closed after it was described.
            return replace(running, closed=True)

    async def _wait(self, key: SessionKey, stage: Stage) -> SessionStatus:
        """The status at a stage, once that is reached or cannot be any more.

        Temporal takes ten updates of a workflow at a time, 2,000 in all, and an update outlives
        the client who waits for it. So a stage has one update, whoever waits and however often.
        Its answer may be an old one: the status is asked for.
        """
        update = self._handle(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.wait_until, WaitUntil(stage=stage), id=f"wait_until:{stage.value}"
        )
        await _reach(update)
        return await self.status(key)

    async def _input(self, key: SessionKey) -> SessionInput:
        """What a session was started with: the first event of its history has it."""
        events = self._handle(key).fetch_history_events(
            page_size=1, rpc_timeout=timedelta(seconds=ANSWER_TIMEOUT)
        )
        first = await _reach(anext(events))
        given = first.workflow_execution_started_event_attributes.input.payloads
        [request] = await self._client.data_converter.decode(given, [SessionInput])
        return request

    async def _describe(self, key: SessionKey) -> WorkflowExecutionDescription:
        return await _reach(self._handle(key).describe())

    @override
    async def status(self, key: SessionKey) -> SessionStatus:
        handle = self._handle(key)
        unclean = QueryRejectCondition.NOT_COMPLETED_CLEANLY
        async with _bounded():
            try:
                return await _reach(handle.query(SessionWorkflow.status, reject_condition=unclean))
            except WorkflowQueryRejectedError:
                # Terminated, for instance: it says where it was, and will never get further.
                last = await _reach(handle.query(SessionWorkflow.status))
        return last if last.state is SessionState.CLOSED else closed_from_outside(last)

    @override
    async def claim(self, key: SessionKey, claim: AgentReady) -> ReadyAnswer:
        update = self._handle(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.agent_ready, claim, id=f"{claim.attempt}:{claim.job_id}"
        )
        try:
            async with _bounded():
                return await _reach(update)
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
        with self._limits.change(key):
            async with _bounded():
                return await _reach(self._update(key, operation, update_id))

    def _update(
        self, key: SessionKey, operation: Operation, update_id: str | None
    ) -> Awaitable[SessionStatus]:
        handle = self._handle(key)
        if isinstance(operation, Extend):
            return handle.execute_update(SessionWorkflow.extend, operation, id=update_id)  # pyright: ignore[reportUnknownMemberType]
        if isinstance(operation, Redispatch):
            return handle.execute_update(SessionWorkflow.redispatch, operation, id=update_id)  # pyright: ignore[reportUnknownMemberType]
        return handle.execute_update(SessionWorkflow.finalise, operation, id=update_id)  # pyright: ignore[reportUnknownMemberType]

    @override
    async def exists(self, key: SessionKey) -> bool:
        try:
            await self._describe(key)
        except NotFound:
            return False
        return True

    @override
    async def is_open(self, key: SessionKey) -> bool:
        try:
            description = await self._describe(key)
        except NotFound:
            return False
        return description.status is WorkflowExecutionStatus.RUNNING

    @override
    async def find_by_room(self, org: str, livekit_room: str) -> SessionKey | None:
        query = f"{ORG.name} = '{org}' AND {ROOM.name} = '{livekit_room}'"
        listed = self._client.list_workflows(query, page_size=1)
        await _reach(listed.fetch_next_page())
        found = (key_of_workflow_id(execution.id) for execution in listed.current_page or ())
        return next(found, None)

    @override
    async def pollers(self) -> int:
        patience = timedelta(seconds=ANSWER_TIMEOUT)
        return len(
            await _reach(polling_workers(self._client, self._task_queue, time.time(), patience))
        )

    @override
    async def probe(self) -> None:
        await _reach(self._probe.check())

    def _handle(self, key: SessionKey) -> Handle:
        return self._client.get_workflow_handle_for(SessionWorkflow.run, session_workflow_id(key))


async def _reach(call: Awaitable[Result]) -> Result:
    """Await a call to Temporal and say in our words what went wrong."""
    try:
        return await call
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from None
    except (WorkflowUpdateRPCTimeoutOrCancelledError, WorkflowQueryFailedError):
        raise _no_worker() from None
    except (RPCError, RuntimeError) as error:
        raise _failure(error) from None


@asynccontextmanager
async def _bounded() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            yield
    except TimeoutError:
        raise _no_worker() from None


def _refusal(error: WorkflowUpdateFailedError) -> EverlineError:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return _REFUSALS.get(cause.type or "", Conflict)(cause.message)
    return Conflict("the session refused the update")


def _failure(error: RPCError | RuntimeError) -> EverlineError:
    if is_not_found(error):
        return NotFound("there is no such session", field="sessionId")
    return temporal_error(error)


def _no_worker() -> Unavailable:
    return Unavailable(
        "no worker answered for the session", cure="check that an Everline worker runs"
    )
