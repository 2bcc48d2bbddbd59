"""A Temporal survives clients that stop waiting for what they asked."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stack.binaries import TEMPORAL
from stack.binaries.locate import find_fault
from stack.supervision.temporal_probe import probe_temporal
from tests.servers import locate_for_tests, start_temporal

CANCELLED = 10_000
AT_ONCE = 20
_GIVEN_UP = (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
# A server may end a connection on which so much is cancelled; the client makes another one.
_CONNECTION_ENDED = ("h2 protocol error", "transport error")
# Readers of one workflow wait for each other; Temporal turns away those that wait for too long.
_EXPECTED = {"answered", "given up", "connection ended", "Workflow is busy."}
_PATIENCE = timedelta(seconds=10)


async def test_ten_thousand_cancelled_reads_do_no_harm() -> None:
    async with start_temporal() as server:
        client = await Client.connect(server.address)
        await client.start_workflow("Nobody", id="read", task_queue="nobody")

        answers = await cancel_reads(client, "read")

        assert answers.keys() <= _EXPECTED
        assert answers["given up"] >= CANCELLED
        await probe_temporal(client, _PATIENCE)
        started = await client.start_workflow(
            "Nobody", id="after", task_queue="nobody", rpc_timeout=_PATIENCE
        )
        assert (await started.describe(rpc_timeout=_PATIENCE)).id == "after"
        await started.signal("hello", rpc_timeout=_PATIENCE)


def test_the_server_that_is_used_has_a_sound_sqlite() -> None:
    assert find_fault(TEMPORAL, locate_for_tests(TEMPORAL)) is None


async def cancel_reads(client: Client, workflow: str) -> Counter[str]:
    """Read with limits below what a read takes, until so many were given up or one failed.

    Returns:
        How the reads ended; a failure by its message.
    """
    chance = random.Random(7)
    answers: Counter[str] = Counter()
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow)
    )

    async def read() -> None:
        while answers["given up"] < CANCELLED and answers.keys() <= _EXPECTED:
            limit = timedelta(milliseconds=chance.uniform(0.4, 4))
            try:
                await client.workflow_service.describe_workflow_execution(request, timeout=limit)
                answers["answered"] += 1
            except RPCError as problem:
                answers[_kind(problem)] += 1

    await asyncio.gather(*(read() for _ in range(AT_ONCE)))
    return answers


def _kind(problem: RPCError) -> str:
    message = str(problem)
    # Temporal itself may notice first, and says so in other words.
    if problem.status in _GIVEN_UP or "context deadline exceeded" in message:
        return "given up"
    return "connection ended" if message.startswith(_CONNECTION_ENDED) else message
