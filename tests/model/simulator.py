"""Runs a workflow without a server: whoever holds the simulation decides what happens next.

It stands where the SDK's core stands: it hands the workflow its activations, and keeps the commands
that come back. Time passes only when told to, so hours take milliseconds.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.bridge.proto.workflow_activation import (
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.bridge.proto.workflow_commands import (
    ActivityCancellationType,
    CancelTimer,
    CompleteWorkflowExecution,
    FailWorkflowExecution,
    RequestCancelActivity,
    ScheduleActivity,
    ScheduleLocalActivity,
    SetPatchMarker,
    StartChildWorkflowExecution,
    StartTimer,
    UpdateResponse,
    UpsertWorkflowSearchAttributes,
    WorkflowCommand,
)
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.common import Priority, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter
from temporalio.exceptions import CancelledError, FailureError
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails
from temporalio.workflow import Info

from domain.sessions.messages import SessionResult
from domain.sessions.session import SessionInput, SessionStatus
from workflows.session import SessionWorkflow

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CONVERTER = pydantic_data_converter.payload_converter
MOST_ACTIVATIONS = 2_000
"""More than any session needs: one that goes on is in a loop."""


class NotDeterministic(AssertionError):
    """A second run with the same activations gave other commands."""


@dataclass
class Step:
    """An activity, or a child workflow, that the workflow waits for."""

    seq: int
    name: str
    order: Any
    local: bool = False
    bounded: bool = False
    """Whether it may end by an error: else it is retried for as long as it takes."""
    waits_for_cancel: bool = False
    """Whether a cancel takes effect only once the activity has ended."""
    under_way: bool = False
    """Whether a child workflow has started."""


@dataclass
class Simulation:
    """One session's workflow, its clock, and what it waits for."""

    request: SessionInput
    run_local: Callable[[Step], tuple[Any, FailureError | None]]
    """What a local activity gives: the workflow task waits for it."""
    now: datetime = START
    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    children: dict[int, Step] = field(default_factory=dict[int, Step])
    timers: dict[int, datetime] = field(default_factory=dict[int, datetime])
    trace: list[str] = field(default_factory=list[str])
    """What happened, and indented below it the workflow's commands, in order."""
    started: list[Step] = field(default_factory=list[Step])
    """All activities and children, in order."""
    updates: dict[str, str] = field(default_factory=dict[str, str])
    """The answers to updates by id: accepted, rejected or completed."""
    attributes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Search attributes of each publication."""
    result: SessionResult | None = None
    _log: list[tuple[WorkflowActivation, bytes]] = field(
        default_factory=list[tuple[WorkflowActivation, bytes]]
    )
    _patches: list[str] = field(default_factory=list[str])
    _cancelled: list[Step] = field(default_factory=list[Step])
    _local: list[Step] = field(default_factory=list[Step])
    _numbers: int = 0

    def __post_init__(self) -> None:
        self._instance = self._new_instance()
        job = WorkflowActivationJob()
        init = job.initialize_workflow
        init.workflow_type, init.workflow_id = "session", "session/acme/model"
        init.arguments.append(_payload(self.request))
        init.start_time.FromDatetime(self.now)
        init.randomness_seed = 7
        self._activate(job)

    # ── what happens to the workflow ─────────────────────────────────────────────────────────────

    def signal(self, name: str, message: Any) -> None:
        """Deliver a signal."""
        job = WorkflowActivationJob()
        job.signal_workflow.signal_name = name
        job.signal_workflow.input.append(_payload(message))
        job.signal_workflow.originating_event_id = len(self._log)
        self._activate(job)

    def update(self, name: str, message: Any) -> str:
        """Deliver an update; returns whether it was accepted, rejected or completed."""
        self._numbers += 1
        job, number = WorkflowActivationJob(), f"update-{self._numbers}"
        update = job.do_update
        update.id = update.protocol_instance_id = number
        update.name, update.run_validator = name, True
        update.input.append(_payload(message))
        self._activate(job)
        return self.updates.get(number, "rejected")

    def cancel(self) -> None:
        """Cancel the workflow."""
        job = WorkflowActivationJob()
        job.cancel_workflow.reason = "a test"
        self._activate(job)

    def complete(self, step: Step, result: Any) -> None:
        """An activity is done."""
        del self.steps[step.seq]
        self._activate(_resolved(step, result, None))

    def fail(self, step: Step, error: FailureError) -> None:
        """An activity has failed for good."""
        del self.steps[step.seq]
        self._activate(_resolved(step, None, error))

    def start_child(self, child: Step) -> None:
        """A child workflow has started."""
        child.under_way = True
        job = WorkflowActivationJob()
        job.resolve_child_workflow_execution_start.seq = child.seq
        job.resolve_child_workflow_execution_start.succeeded.run_id = "child"
        self._activate(job)

    def complete_child(self, child: Step, result: Any) -> None:
        """A child workflow has ended."""
        del self.children[child.seq]
        job = WorkflowActivationJob()
        job.resolve_child_workflow_execution.seq = child.seq
        job.resolve_child_workflow_execution.result.completed.result.CopyFrom(_payload(result))
        self._activate(job)

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire in their order."""
        until = self.now + timedelta(seconds=seconds)
        while self.timers and self.result is None:
            seq, at = min(self.timers.items(), key=lambda timer: (timer[1], timer[0]))
            if at > until:
                break
            self.now = max(self.now, at)
            del self.timers[seq]
            job = WorkflowActivationJob()
            job.fire_timer.seq = seq
            self._activate(job)
        self.now = until

    def status(self) -> SessionStatus:
        """The answer of the status query."""
        job = WorkflowActivationJob()
        job.query_workflow.query_id, job.query_workflow.query_type = "q", "status"
        completion = self._instance.activate(self._activation([job]))
        [command] = completion.successful.commands
        answer = command.respond_to_query.succeeded.response
        return CONVERTER.from_payloads([answer], [SessionStatus])[0]

    def replay(self) -> None:
        """Run everything again, as another worker would; the same commands must come."""
        again = self._new_instance()
        for activation, expected in self._log:
            second = WorkflowActivation.FromString(activation.SerializeToString())
            second.is_replaying = True
            if second.jobs[0].HasField("initialize_workflow"):
                # What a history says of its patches comes first.
                patches = [WorkflowActivationJob() for _ in self._patches]
                for job, patch in zip(patches, self._patches, strict=True):
                    job.notify_has_patch.patch_id = patch
                patches.extend(second.jobs)
                second.ClearField("jobs")
                second.jobs.extend(patches)
            commands = again.activate(second)
            if _encoded(commands) != expected:
                raise NotDeterministic(f"{commands}\n\nafter {activation}")

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _new_instance(self) -> WorkflowInstance:
        info = Info(
            attempt=1,
            continued_run_id=None,
            cron_schedule=None,
            execution_timeout=None,
            first_execution_run_id="run",
            headers={},
            namespace="default",
            original_execution_run_id="run",
            parent=None,
            root=None,
            priority=Priority.default,
            raw_memo={},
            retry_policy=None,
            run_id="run",
            run_timeout=None,
            search_attributes={},
            start_time=START,
            task_queue="model",
            task_timeout=timedelta(seconds=10),
            typed_search_attributes=TypedSearchAttributes.empty,
            workflow_id="session/acme/model",
            workflow_start_time=START,
            workflow_type="session",
        )
        # How the SDK's worker finds a workflow's definition.
        definition = getattr(SessionWorkflow, "__temporal_workflow_definition")
        details = WorkflowInstanceDetails(
            payload_converter_factory=lambda: CONVERTER,
            failure_converter_class=DefaultFailureConverter,
            interceptor_classes=[],
            defn=definition,
            info=info,
            randomness_seed=7,
            extern_functions={"__temporal_assert_local_activity_valid": _is_known},
            disable_eager_activity_execution=False,
            worker_level_failure_exception_types=[],
            patch_activation_callback=None,
            last_completion_result=Payloads(),
            last_failure=None,
        )

        async def create() -> WorkflowInstance:
            # It wants a running loop at first; later it brings its own.
            return UnsandboxedWorkflowRunner().create_instance(details)

        # Not `asyncio.run`, after which the thread of the tests has no event loop.
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(create())
        finally:
            loop.close()

    def _activation(self, jobs: list[WorkflowActivationJob]) -> WorkflowActivation:
        activation = WorkflowActivation(run_id="run", history_length=len(self._log), jobs=jobs)
        activation.timestamp.FromDatetime(self.now)
        return activation

    def _activate(self, job: WorkflowActivationJob) -> None:
        """One workflow task: the local activities that it starts are part of it."""
        if self.result is not None:
            return
        self._task(job)
        while (self._cancelled or self._local) and self.result is None:
            if self._cancelled:
                cancelled = CancelledError("cancelled")
                self._task(_resolved(self._cancelled.pop(0), None, cancelled))
                continue
            step = self._local.pop(0)
            result, error = self.run_local(step)
            self._task(_resolved(step, result, error))

    def _task(self, job: WorkflowActivationJob) -> None:
        assert len(self._log) < MOST_ACTIVATIONS, "the session goes on for ever"
        self.trace.append(_told(job))
        activation = self._activation([job])
        completion = self._instance.activate(activation)
        assert not completion.HasField("failed"), completion.failed.failure
        commands = completion.successful.commands
        rejected = [one for one in commands if one.update_response.HasField("rejected")]
        if not rejected:
            # A rejected update leaves nothing in a history.
            self._log.append((activation, _encoded(completion)))
        for command in commands:
            self._take(command)

    def _take(self, command: WorkflowCommand) -> None:
        kind = command.WhichOneof("variant") or ""
        taken = getattr(self, f"_{kind}", None)
        told = taken(getattr(command, kind)) if taken else kind.replace("_", " ")
        self.trace.append(f"    {told}")

    # Each takes the command of its name, and tells it in a few words.

    def _schedule_activity(self, command: ScheduleActivity) -> str:
        step = Step(command.seq, command.activity_type, _value(command.arguments))
        step.bounded = command.HasField("schedule_to_close_timeout")
        waits = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        step.waits_for_cancel = command.cancellation_type == waits
        self.steps[step.seq] = step
        self.started.append(step)
        return f"activity {step.name}"

    def _schedule_local_activity(self, command: ScheduleLocalActivity) -> str:
        step = Step(command.seq, command.activity_type, _value(command.arguments), local=True)
        self._local.append(step)
        self.started.append(step)
        return f"local activity {step.name}"

    def _request_cancel_activity(self, command: RequestCancelActivity) -> str:
        step = self.steps[command.seq]
        if not step.waits_for_cancel:
            self._cancelled.append(self.steps.pop(step.seq))
        return f"cancel activity {step.name}"

    def _start_child_workflow_execution(self, command: StartChildWorkflowExecution) -> str:
        child = Step(command.seq, command.workflow_type, _value(command.input))
        self.children[child.seq] = child
        self.started.append(child)
        return f"child workflow {child.name}"

    def _start_timer(self, command: StartTimer) -> str:
        lasts = command.start_to_fire_timeout.ToTimedelta()
        self.timers[command.seq] = self.now + lasts
        return f"timer of {lasts.total_seconds():g} s"

    def _cancel_timer(self, command: CancelTimer) -> str:
        self.timers.pop(command.seq, None)
        return "cancel timer"

    def _upsert_workflow_search_attributes(self, command: UpsertWorkflowSearchAttributes) -> str:
        fields = command.search_attributes.indexed_fields
        texts = {name: json.loads(payload.data) for name, payload in fields.items()}
        self.attributes.append(texts)
        return f"search attributes: {texts.get('SessionState')}, {texts.get('SessionWaitingFor')}"

    def _update_response(self, command: UpdateResponse) -> str:
        kind = command.WhichOneof("response") or ""
        self.updates[command.protocol_instance_id] = kind
        return f"update {kind}"

    def _set_patch_marker(self, command: SetPatchMarker) -> str:
        self._patches.append(command.patch_id)
        return f"patch {command.patch_id}"

    def _complete_workflow_execution(self, command: CompleteWorkflowExecution) -> str:
        [self.result] = CONVERTER.from_payloads([command.result], [SessionResult])
        return "complete"

    def _fail_workflow_execution(self, command: FailWorkflowExecution) -> str:
        raise AssertionError(command.failure)


def _is_known(activity: str) -> None:
    """Stand for the worker, which raises if it has no such local activity."""
    assert activity


def _payload(value: Any) -> Payload:
    return CONVERTER.to_payloads([value])[0]


def _value(payloads: Any) -> Any:
    return CONVERTER.from_payloads(list(payloads))[0] if payloads else None


def _told(job: WorkflowActivationJob) -> str:
    """What an activation tells the workflow, in a few words."""
    match job.WhichOneof("variant"):
        case "signal_workflow":
            return f"signal {job.signal_workflow.signal_name}"
        case "do_update":
            return f"update {job.do_update.name}"
        case "resolve_activity":
            found = job.resolve_activity
            local = "local " if found.is_local else ""
            return f"{local}activity {found.result.WhichOneof('status')}"
        case kind:
            return (kind or "").replace("_", " ")


def _encoded(completion: WorkflowActivationCompletion) -> bytes:
    return completion.SerializeToString(deterministic=True)


def _resolved(step: Step, result: Any, error: FailureError | None) -> WorkflowActivationJob:
    job = WorkflowActivationJob()
    resolved = job.resolve_activity
    resolved.seq, resolved.is_local = step.seq, step.local
    if error is None:
        resolved.result.completed.result.CopyFrom(_payload(result))
    else:
        cancelled = isinstance(error, CancelledError)
        result_of = resolved.result.cancelled if cancelled else resolved.result.failed
        failure = result_of.failure
        DefaultFailureConverter().to_failure(error, CONVERTER, failure)
        if not step.local:
            # The server wraps an activity's error, a local activity's comes as it is.
            cause = type(failure).FromString(failure.SerializeToString())
            failure.Clear()
            failure.message = "Activity task failed"
            failure.activity_failure_info.activity_type.name = step.name
            failure.cause.CopyFrom(cause)
    return job
