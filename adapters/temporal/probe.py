"""A rate-limited health check of Temporal's database: one read and one write, without traces.

The stack has its own (`stack/supervision/temporal_probe.py`), because it imports no adapters.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    UpdateTaskQueueConfigRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.errors import is_not_found

FRESH_SECONDS = 5.0
"""How long a result is reused."""
_STEP = timedelta(seconds=4)
_NAME = "everline-api-health"
"""Name of a workflow that never exists, and of a task queue that nobody polls."""
_CANNOT_WRITE = (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED)
"""Before server 1.29, or with a key without permission: the read has to suffice."""


class TemporalProbe:
    """Checks whether Temporal's database can be read and written, one check at a time."""

    def __init__(self, client: Client, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._now = now
        self._asked: asyncio.Task[None] | None = None
        self._ended = 0.0
        self.ahead: float | None = None
        """Seconds by which Temporal's clock is ahead of this machine's; None if unknown."""
        self.measured_at = float("-inf")
        """When `ahead` was measured, in monotonic seconds."""

    async def check(self) -> None:
        """Return if it can.

        Raises:
            RPCError: it cannot, or Temporal does not answer.
            RuntimeError: a lazy client was never connected.
        """
        asked = self._asked
        if asked is None or (asked.done() and self._now() - self._ended >= FRESH_SECONDS):
            asked = self._asked = asyncio.create_task(self._ask())
            # Retrieve its error even if nobody waits any more, or asyncio would warn.
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A caller that stops waiting must not cancel the check of the others.
        await asyncio.shield(asked)

    async def _ask(self) -> None:
        try:
            await self._read()
            await self._write()
        finally:
            self._ended = self._now()

    async def _read(self) -> None:
        """Describe a workflow that does not exist: the answer comes from the database."""
        try:
            await self._client.workflow_service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._client.namespace,
                    execution=WorkflowExecution(workflow_id=_NAME),
                ),
                timeout=_STEP,
            )
        except RPCError as answer:
            if not is_not_found(answer):
                raise

    async def _write(self) -> None:
        """Replace the configuration of an unused task queue: always the same row.

        The answer has the time of the write.
        """
        begun = time.time()
        try:
            answer = await self._client.workflow_service.update_task_queue_config(
                UpdateTaskQueueConfigRequest(
                    namespace=self._client.namespace,
                    identity="everline",
                    task_queue=_NAME,
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                    update_queue_rate_limit=UpdateTaskQueueConfigRequest.RateLimitUpdate(
                        reason="health check"
                    ),
                ),
                timeout=_STEP,
            )
        except RPCError as refusal:
            if refusal.status not in _CANNOT_WRITE:
                raise
            return
        written_at = answer.config.queue_rate_limit.metadata.update_time
        if written_at.seconds:
            self.ahead = written_at.ToNanoseconds() / 1e9 - (begun + time.time()) / 2
            self.measured_at = time.monotonic()
