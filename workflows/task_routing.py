"""Sends each activity to the task queue of its kind, and the urgent ones to its front."""

from temporalio import workflow
from temporalio.common import Priority
from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

with workflow.unsafe.imports_passed_through():
    from domain.task_queues import KIND_OF, URGENT, URGENT_PRIORITY, task_queue_of


class RouteActivities(Interceptor):
    """Worker interceptor: workflows name their activities, and `domain.task_queues` the queues.

    A replay does not compare task queues, so a session that an older release began continues on
    them.
    """

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        """The interceptor of each workflow."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> "workflow.ActivityHandle[object]":
        kind = KIND_OF.get(input.activity)
        if kind is not None:
            input.task_queue = task_queue_of(self.info().task_queue, kind)
        if input.activity in URGENT:
            input.priority = Priority(priority_key=URGENT_PRIORITY)
        return super().start_activity(input)
