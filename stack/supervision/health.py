"""Health checks: each proves that a process does its work, not only that it is alive."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, ParamSpec

import httpx
import jwt
from pydantic import BaseModel, ValidationError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from stack.supervision.mongodb_probe import probe_mongodb
from stack.supervision.temporal_probe import probe_temporal

_TIMEOUT = 10.0
"""Seconds; generous, because a slow machine is not a fault."""
_POLLED_WITHIN = 75.0
"""Seconds; Temporal records when a poll begins, and a poll waits for up to 60 s."""
_HEARD_WITHIN = 15.0
"""Seconds; heartbeats arrive every two."""


class NotHealthyError(Exception):
    """A process does not do its work; the message says why."""


class CannotTellError(NotHealthyError):
    """A process cannot be checked, because another one does not answer."""


Check = Callable[[float], Awaitable[None]]
"""Raises `NotHealthyError`; its argument is when the process was started (Unix time, seconds)."""
Arguments = ParamSpec("Arguments")


def _bound_later(
    check: Callable[Concatenate[float, Arguments], Awaitable[None]],
) -> Callable[Arguments, Check]:
    """Make a function that takes all arguments of a check but the first, and returns the check."""

    @wraps(check)
    def bind(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Check:
        return lambda since: check(since, *args, **kwargs)

    return bind


async def _request(
    method: str,
    url: str,
    headers: dict[str, str] | None = None,
    json: dict[str, list[str]] | None = None,
) -> httpx.Response:
    """Send a request without the machine's proxies.

    Raises:
        NotHealthyError: Nothing answered in time.
    """
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT) as client:
            return await client.request(method, url, headers=headers, json=json)
    except httpx.HTTPError as problem:
        raise NotHealthyError(f"{url} does not answer ({type(problem).__name__})") from None


@_bound_later
async def http_ok(since: float, *urls: str) -> None:
    """Healthy if every URL returns success."""
    for url in urls:
        answer = await _request("GET", url)
        if not answer.is_success:
            raise NotHealthyError(f"{url} answers {answer.status_code}")


@_bound_later
async def livekit_serves(since: float, url: str, key: str, secret: str) -> None:
    """Healthy if LiveKit's HTTP API at `url` is ready and lists rooms."""
    await http_ok(url)(since)
    claims = {"iss": key, "exp": int(time.time()) + 60, "video": {"roomList": True}}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
    path = f"{url}/twirp/livekit.RoomService/ListRooms"
    answer = await _request("POST", path, headers, {"names": ["everline-health-check"]})
    if not answer.is_success:
        raise NotHealthyError(f"LiveKit lists no rooms (it answers {answer.status_code})")


@_bound_later
async def mongodb_answers(since: float, port: int) -> None:
    """Healthy if the server accepts a journaled write and reads it back."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            await probe_mongodb(port)
    except ValueError as refusal:
        raise NotHealthyError(f"the server on port {port} {refusal}") from None
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
        raise NotHealthyError(
            f"no MongoDB answer on port {port} ({type(problem).__name__})"
        ) from None


@_bound_later
async def temporal_serves(since: float, address: str, namespace: str, ui: str | None) -> None:
    """Healthy if the front end serves, its database can be read and written, and the UI answers."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            client = await Client.connect(address, namespace=namespace)
            serving = await client.service_client.check_health()
    except (RPCError, RuntimeError, TimeoutError) as problem:
        reason = f"Temporal does not answer on {address} ({type(problem).__name__})"
        raise NotHealthyError(reason) from None
    if not serving:
        raise NotHealthyError("Temporal reports that it is not serving")
    try:
        await probe_temporal(client, timedelta(seconds=_TIMEOUT))
    except RPCError as problem:
        reason = f"Temporal's database cannot be read and written: {problem}"
        raise NotHealthyError(reason) from None
    if ui is not None:
        await http_ok(ui)(since)


@_bound_later
async def worker_polls(since: float, address: str, namespace: str, task_queue: str) -> None:
    """Healthy if a worker has polled Temporal recently, and since the process was started."""
    request = DescribeTaskQueueRequest(
        namespace=namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        async with asyncio.timeout(_TIMEOUT):
            client = await Client.connect(address, namespace=namespace)
            queue = await client.workflow_service.describe_task_queue(request)
    except (RPCError, RuntimeError, TimeoutError) as problem:
        raise CannotTellError(f"Temporal does not answer ({type(problem).__name__})") from None
    # Dead pollers stay listed for minutes; the time of the last poll tells them apart.
    recent = max(since, time.time() - _POLLED_WITHIN)
    if not any(p.last_access_time.ToNanoseconds() / 1e9 >= recent for p in queue.pollers):
        raise NotHealthyError(f"nothing polls the task queue {task_queue!r}")


@_bound_later
async def agent_listed(since: float, api: str) -> None:
    """Healthy if the API got a heartbeat recently, and since the process was started."""
    try:
        report = await fetch_agent_health(api)
    except NotHealthyError as problem:
        raise CannotTellError(str(problem)) from None
    if not report.servers_known:
        raise CannotTellError(f"the API cannot tell: {report.agents.detail}")
    recent = max(since, time.time() - _HEARD_WITHIN)
    if not any(server.last_heartbeat.timestamp() >= recent for server in report.servers):
        raise NotHealthyError("the API got no recent heartbeat from it (/health/agent)")


class ServerSeen(BaseModel):
    """An agent server in `/health/agent`."""

    last_heartbeat: datetime


class Verdict(BaseModel):
    """One requirement of a session in `/health/agent`."""

    ok: bool
    detail: str
    cure: str | None = None


class AgentHealth(BaseModel):
    """The part of `/health/agent` that is read here; APIs of older releases lack some fields."""

    clocks: Verdict | None = None
    livekit: Verdict
    installations: Verdict | None = None
    temporal: Verdict
    agents: Verdict
    livekit_webhooks: Verdict | None = None
    servers: list[ServerSeen]
    servers_known: bool = True


async def fetch_agent_health(api: str) -> AgentHealth:
    """Return the API's `/health/agent`, which also comes with status 503.

    Raises:
        NotHealthyError: The API does not answer, or with something else.
    """
    answer = await _request("GET", f"{api}/health/agent")
    try:
        return AgentHealth.model_validate_json(answer.content)
    except ValidationError:
        raise NotHealthyError(f"{api}/health/agent answers {answer.status_code}") from None
