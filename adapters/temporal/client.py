"""The Temporal client: everything is encrypted, and every call has a time limit.

The API connects lazily, so it starts (and reports the problem) while Temporal is unavailable; a
worker needs a connection from the start.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.service import RetryConfig, TLSConfig

from adapters.settings import TemporalConnection, TemporalSettings
from adapters.temporal.encryption import data_converter

RPC_TIMEOUT = timedelta(seconds=5)
"""Time limit of a call that does not wait for a workflow; callers limit updates."""
CONNECT_TIMEOUT = timedelta(seconds=2)

# A restarting Temporal is back within seconds; after that, callers get a 503.
_RETRIES = RetryConfig(max_elapsed_time_millis=3_000, max_interval_millis=1_000)

_SHORT_CALLS = (
    "start_workflow",
    "cancel_workflow",
    "count_workflows",
    "describe_workflow",
    "list_workflows",
    "query_workflow",
    "signal_workflow",
    "terminate_workflow",
)


async def connect(settings: TemporalSettings) -> Client:
    """A connected client, for workers; `RuntimeError` if it cannot connect."""
    return await _connect(settings, **_for_sessions(settings))


async def connect_lazily(settings: TemporalSettings) -> Client:
    """A client that connects on its first call, and retries on each call until it succeeds.

    Its calls raise `RuntimeError` until the first connection, and `RPCError` after it.
    """
    return await _connect(settings, lazy=True, **_for_sessions(settings))


async def connect_for_setup(settings: TemporalConnection) -> Client:
    """As `connect`, without encryption keys, for processes that read and start no session."""
    return await _connect(settings)


async def _connect(settings: TemporalConnection, **options: Any) -> Client:
    key = settings.temporal_api_key
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        tls=_tls(settings),
        api_key=key.get_secret_value() if key else None,
        connect_timeout=CONNECT_TIMEOUT,
        **options,
    )


def _for_sessions(settings: TemporalSettings) -> dict[str, Any]:
    return {
        "data_converter": data_converter(settings.encryption_keys),
        "interceptors": [_Bounded()],
        "retry_config": _RETRIES,
    }


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


class _Bounded(Interceptor):
    """Gives every short call a time limit, unless its caller set one."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        bounded = OutboundInterceptor(next)
        for name in _SHORT_CALLS:
            setattr(bounded, name, _with_time_limit(getattr(next, name)))
        return bounded


def _with_time_limit(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def limited(input: Any) -> Any:
        input.rpc_timeout = input.rpc_timeout or RPC_TIMEOUT
        return call(input)

    return limited
