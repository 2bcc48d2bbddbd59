"""How each process shows that it does its work, not merely that it lives."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx
from pydantic import BaseModel, ValidationError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

_PATIENCE = 3.0


class NotHealthyError(Exception):
    """A process does not do its work (yet); the message says in what way."""


Check = Callable[[float], Awaitable[None]]
"""Raises `NotHealthyError`; is given the time at which the process was started (Unix seconds)."""


async def fetch(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """GET a URL of this stack; proxies of the machine are not for it.

    Raises:
        NotHealthyError: Nothing answered in time.
    """
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
            return await client.get(url, headers=headers)
    except httpx.HTTPError as problem:
        raise NotHealthyError(f"{url} does not answer ({type(problem).__name__})") from None


def http_ok(*urls: str) -> Check:
    """Healthy when every URL answers with success."""

    async def check(since: float) -> None:
        for url in urls:
            answer = await fetch(url)
            if not answer.is_success:
                raise NotHealthyError(f"{url} answers {answer.status_code}")

    return check


def mongodb_answers(port: int) -> Check:
    """Healthy when the server answers MongoDB's `hello` as one that takes writes."""

    async def check(since: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(_HELLO)
                    (length,) = struct.unpack("<i", await reader.readexactly(4))
                    reply = await reader.readexactly(length - 4)
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
            raise NotHealthyError(
                f"no MongoDB answer on port {port} ({type(problem).__name__})"
            ) from None
        if b"\x08isWritablePrimary\x00\x01" not in reply:
            raise NotHealthyError(f"the server on port {port} takes no writes")

    return check


def _hello() -> bytes:
    """Return `{hello: 1, $db: "admin"}` as one OP_MSG (the driver belongs to adapters/ alone)."""
    fields = b"\x10hello\x00" + struct.pack("<i", 1) + b"\x02$db\x00\x06\x00\x00\x00admin\x00"
    document = struct.pack("<i", len(fields) + 5) + fields + b"\x00"
    body = struct.pack("<i", 0) + b"\x00" + document
    return struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body


_HELLO = _hello()


def temporal_serves(address: str, ui: str) -> Check:
    """Healthy when the front-end serves and the UI answers."""

    async def check(since: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                client = await Client.connect(address)
                serving = await client.service_client.check_health()
        except (RPCError, RuntimeError, TimeoutError) as problem:
            raise NotHealthyError(
                f"Temporal does not answer on {address} ({type(problem).__name__})"
            ) from None
        if not serving:
            raise NotHealthyError("Temporal says that it does not serve")
        await http_ok(ui)(since)

    return check


def worker_polls(address: str, namespace: str, task_queue: str) -> Check:
    """Healthy when Temporal has been asked for work since the process was started."""

    async def check(since: float) -> None:
        request = DescribeTaskQueueRequest(
            namespace=namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                client = await Client.connect(address, namespace=namespace)
                queue = await client.workflow_service.describe_task_queue(request)
        except (RPCError, RuntimeError, TimeoutError) as problem:
            raise NotHealthyError(f"Temporal does not answer ({type(problem).__name__})") from None
        # Pollers are listed for minutes after their death; their last poll tells old from new.
        if not any(p.last_access_time.ToNanoseconds() / 1e9 >= since for p in queue.pollers):
            raise NotHealthyError(f"nothing polls the task queue {task_queue!r}")

    return check


def agent_listed(api: str) -> Check:
    """Healthy when the API has heard from an agent server since the process was started."""

    async def check(since: float) -> None:
        report = await fetch_agent_health(api)
        if not any(server.last_heartbeat.timestamp() >= since for server in report.servers):
            raise NotHealthyError("the API has not heard from it (/health/agent)")

    return check


class ServerSeen(BaseModel):
    """An agent server in `/health/agent`."""

    agent_name: str
    last_heartbeat: datetime


class Verdict(BaseModel):
    """One thing that a session needs, in `/health/agent`."""

    ok: bool
    detail: str
    cure: str | None = None


class AgentHealth(BaseModel):
    """What this side reads of `/health/agent`."""

    livekit: Verdict
    installations: Verdict | None = None
    """None from an API of an older release."""
    temporal: Verdict
    agents: Verdict
    livekit_webhooks: Verdict | None = None
    """None from an older API."""
    servers: list[ServerSeen]


async def fetch_agent_health(api: str) -> AgentHealth:
    """Ask the API whether an agent could be talked to; its 503 is an answer as well.

    Raises:
        NotHealthyError: It does not answer, or with something else.
    """
    answer = await fetch(f"{api}/health/agent")
    try:
        return AgentHealth.model_validate_json(answer.content)
    except ValidationError:
        raise NotHealthyError(f"{api}/health/agent answers {answer.status_code}") from None
