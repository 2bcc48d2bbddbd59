"""The Temporal client: everything is encrypted, and every call has a time limit.

The API connects lazily, so it starts (and reports the problem) while Temporal is unavailable; a
worker needs a connection from the start.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import (
    CancelWorkflowInput,
    Client,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    Interceptor,
    ListWorkflowsInput,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    TerminateWorkflowInput,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionDescription,
    WorkflowHandle,
)
from temporalio.service import RetryConfig, TLSConfig

from adapters.settings import TemporalConnection, TemporalSettings
from adapters.temporal.encryption import data_converter

RPC_TIMEOUT = timedelta(seconds=5)
"""Time limit of a call that does not wait for a workflow; callers limit updates."""
CONNECT_TIMEOUT = timedelta(seconds=2)

# A restarting Temporal is back within seconds; after that, callers get a 503.
_RETRIES = RetryConfig(max_elapsed_time_millis=3_000, max_interval_millis=1_000)

_BoundedInput = TypeVar(
    "_BoundedInput",
    StartWorkflowInput,
    CancelWorkflowInput,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    ListWorkflowsInput,
    QueryWorkflowInput,
    SignalWorkflowInput,
    TerminateWorkflowInput,
)


async def connect(settings: TemporalSettings) -> Client:
    """A connected client, for workers.

    Raises:
        RuntimeError: Temporal does not answer, or TLS or credentials are wrong.
    """
    return await _connect(settings, lazy=False)


async def connect_lazily(settings: TemporalSettings) -> Client:
    """A client that connects on its first call, and retries on each call until it succeeds.

    Its calls raise `RuntimeError` until the first connection, and `RPCError` after it.
    """
    return await _connect(settings, lazy=True)


async def connect_for_setup(settings: TemporalConnection) -> Client:
    """A connected client without encryption keys, for processes that read and start no session.

    Raises:
        RuntimeError: Temporal does not answer, or TLS or credentials are wrong.
    """
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        tls=_tls(settings),
        api_key=_api_key(settings),
        connect_timeout=CONNECT_TIMEOUT,
    )


async def _connect(settings: TemporalSettings, *, lazy: bool) -> Client:
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        tls=_tls(settings),
        api_key=_api_key(settings),
        data_converter=data_converter(settings.everline_encryption_keys),
        interceptors=[_Bounded()],
        retry_config=_RETRIES,
        connect_timeout=CONNECT_TIMEOUT,
        lazy=lazy,
    )


def _tls(settings: TemporalConnection) -> TLSConfig | bool:
    if not settings.temporal_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_content(settings.temporal_tls_ca),
        client_cert=_content(settings.temporal_tls_cert),
        client_private_key=_content(settings.temporal_tls_key),
    )


def _content(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


def _api_key(settings: TemporalConnection) -> str | None:
    key = settings.temporal_api_key
    return None if key is None else key.get_secret_value()


class _Bounded(Interceptor):
    """Gives every short call a time limit, unless its caller set one."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _BoundedCalls(next)


def _bounded(call: _BoundedInput) -> _BoundedInput:
    call.rpc_timeout = call.rpc_timeout or RPC_TIMEOUT
    return call


class _BoundedCalls(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        return await super().start_workflow(_bounded(input))

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        await super().cancel_workflow(_bounded(input))

    async def count_workflows(self, input: CountWorkflowsInput) -> WorkflowExecutionCount:
        return await super().count_workflows(_bounded(input))

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        return await super().describe_workflow(_bounded(input))

    def list_workflows(self, input: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:
        return super().list_workflows(_bounded(input))

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:
        return await super().query_workflow(_bounded(input))

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await super().signal_workflow(_bounded(input))

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:
        await super().terminate_workflow(_bounded(input))
