"""A gRPC proxy in front of a Temporal server that refuses some calls."""

from dataclasses import dataclass, field
from typing import Self

import grpc
import grpc.aio


@dataclass
class RefusingTemporal:
    """Listens on a loopback port of its own while it is entered.

    Attributes:
        target: the real server's address.
        refused: how calls of a method are refused, by its name.
    """

    target: str
    refused: dict[str, tuple[grpc.StatusCode, str]] = field(
        default_factory=dict[str, tuple[grpc.StatusCode, str]]
    )
    address: str = ""
    _server: grpc.aio.Server | None = None
    _channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self.target)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([_Forward(self.refused, self._channel)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server and self._channel:
            await self._server.stop(None)
            await self._channel.close()


class _Forward(grpc.GenericRpcHandler):
    def __init__(
        self, refused: dict[str, tuple[grpc.StatusCode, str]], channel: grpc.aio.Channel
    ) -> None:
        self._refused = refused
        self._channel = channel

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = handler_call_details.method

        async def forward(
            request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
        ) -> bytes:
            refusal = self._refused.get(method.rpartition("/")[2])
            if refusal:
                await context.abort(*refusal)
            try:
                # Without serialisers, both are bytes.
                call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
                call = self._channel.unary_unary(method)  # pyright: ignore[reportUnknownVariableType]
                return await call(request, timeout=context.time_remaining())
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(), error.details() or "", tuple(error.trailing_metadata())
                )

        return grpc.unary_unary_rpc_method_handler(forward)
