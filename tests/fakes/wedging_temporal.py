"""A Temporal front-end whose database can be wedged: `python -m tests.fakes.wedging_temporal PORT`.

It answers as a Temporal that knows no workflow. From SIGUSR1 on, and until its process ends, it
still says that it serves, and every call that needs the database fails as in a real server whose
SQLite connection was interrupted for good.
"""

import asyncio
import signal
import sys

import grpc
import grpc.aio
from temporalio.api.workflowservice.v1 import (
    GetSystemInfoResponse,
    UpdateTaskQueueConfigResponse,
)

_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService"
_SERVING = b"\x08\x01"
"""`grpc.health.v1.HealthCheckResponse(status=SERVING)`."""


class _FrontEnd(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        self._wedged = False

    def wedge(self) -> None:
        """Lose the database for good."""
        self._wedged = True

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        answer = {
            f"{_SERVICE}/GetSystemInfo": self._describe_system,
            "/grpc.health.v1.Health/Check": self._say_that_it_serves,
            f"{_SERVICE}/DescribeWorkflowExecution": self._describe_workflow,
            f"{_SERVICE}/UpdateTaskQueueConfig": self._configure_task_queue,
        }.get(handler_call_details.method)
        return answer and grpc.unary_unary_rpc_method_handler(answer)

    async def _describe_system(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        return GetSystemInfoResponse(server_version="1.29.1").SerializeToString()

    async def _say_that_it_serves(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        return _SERVING

    async def _describe_workflow(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        await self._need_database(context)
        await context.abort(grpc.StatusCode.NOT_FOUND, "workflow not found")

    async def _configure_task_queue(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        await self._need_database(context)
        return UpdateTaskQueueConfigResponse().SerializeToString()

    async def _need_database(self, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        if self._wedged:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "GetCurrentExecution operation failed. Error: interrupted (9)",
            )


async def serve(port: int) -> None:
    """Listen on a loopback port until the process ends."""
    front_end = _FrontEnd()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, front_end.wedge)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([front_end])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
