"""How each process shows that it does its work, not merely that it lives."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

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

_PATIENCE = 10.0
"""Seconds; a slow machine is no fault."""
_POLLED_WITHIN = 75.0
"""Seconds; a poll is noted when it begins and waits for up to 60 s."""
_HEARD_WITHIN = 15.0
"""Seconds; heartbeats come every two."""


class NotHealthyError(Exception):
    """A process does not do its work (yet); the message says in what way."""


class CannotTellError(NotHealthyError):
    """Nothing is known of a process, because another one that would tell does not answer."""


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


def livekit_serves(url: str, key: str, secret: str) -> Check:
    """Healthy when LiveKit says that it is ready and reads its list of rooms.

    Args:
        url: Of its HTTP API.
        key: API key.
        secret: What belongs to the key.
    """
    path = f"{url}/twirp/livekit.RoomService/ListRooms"

    async def check(since: float) -> None:
        await http_ok(url)(since)
        claims = {"iss": key, "exp": int(time.time()) + 60, "video": {"roomList": True}}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
                names = {"names": ["everline-health-check"]}
                answer = await client.post(path, json=names, headers=headers)
        except httpx.HTTPError as problem:
            raise NotHealthyError(f"LiveKit lists no rooms ({type(problem).__name__})") from None
        if not answer.is_success:
            raise NotHealthyError(f"LiveKit lists no rooms (it answers {answer.status_code})")

    return check


def mongodb_answers(port: int) -> Check:
    """Healthy when the server takes a journaled write and reads it back."""

    async def check(since: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await probe_mongodb(port)
        except ValueError as refusal:
            raise NotHealthyError(f"the server on port {port} {refusal}") from None
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
            raise NotHealthyError(
                f"no MongoDB answer on port {port} ({type(problem).__name__})"
            ) from None

    return check


def temporal_serves(address: str, namespace: str, ui: str | None) -> Check:
    """Healthy when the front-end serves, its database is read and written, and the UI answers."""

    async def check(since: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                client = await Client.connect(address, namespace=namespace)
                serving = await client.service_client.check_health()
        except (RPCError, RuntimeError, TimeoutError) as problem:
            raise NotHealthyError(
                f"Temporal does not answer on {address} ({type(problem).__name__})"
            ) from None
        if not serving:
            raise NotHealthyError("Temporal says that it does not serve")
        try:
            await probe_temporal(client, timedelta(seconds=_PATIENCE))
        except RPCError as problem:
            raise NotHealthyError(
                f"Temporal's database cannot be read and written: {problem}"
            ) from None
        if ui is not None:
            await http_ok(ui)(since)

    return check


def worker_polls(address: str, namespace: str, task_queue: str) -> Check:
    """Healthy when Temporal was asked for work lately, since the process was started."""

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
            raise CannotTellError(f"Temporal does not answer ({type(problem).__name__})") from None
        # Pollers are listed for minutes after their death; their last poll tells old from new.
        lately = max(since, time.time() - _POLLED_WITHIN)
        if not any(p.last_access_time.ToNanoseconds() / 1e9 >= lately for p in queue.pollers):
            raise NotHealthyError(f"nothing polls the task queue {task_queue!r}")

    return check


def agent_listed(api: str) -> Check:
    """Healthy when the API heard from an agent server lately, since the process was started."""

    async def check(since: float) -> None:
        try:
            report = await fetch_agent_health(api)
        except NotHealthyError as problem:
            raise CannotTellError(str(problem)) from None
        if not report.servers_known:
            raise CannotTellError(f"the API cannot tell: {report.agents.detail}")
        lately = max(since, time.time() - _HEARD_WITHIN)
        if not any(server.last_heartbeat.timestamp() >= lately for server in report.servers):
            raise NotHealthyError("the API has not heard from it lately (/health/agent)")

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
    servers_known: bool = True


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
