"""The agent server's sign of life: every two seconds, signed as LiveKit signs its webhooks."""

import asyncio
import os
import socket
import uuid
from collections.abc import Callable

import httpx
import structlog
from livekit.agents.job import RunningJobInfo
from pydantic import ValidationError

from adapters.livekit_signatures import HEARTBEAT, sign_body
from adapters.settings import AgentSettings
from agent.server import CountingAgentServer
from agent.version import agent_version
from domain.agent_servers import Heartbeat, JobTick
from domain.control import HEARTBEAT_PATH
from domain.metadata import DispatchMetadata

log = structlog.stdlib.get_logger(__name__)

HEARTBEAT_SECONDS = 2.0
_TIMEOUT = httpx.Timeout(5.0, connect=2.0)


def new_server_id() -> str:
    """An id of this process: readable for an operator, never used twice."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


class Heart:
    """Reports the jobs of one agent server."""

    def __init__(
        self,
        settings: AgentSettings,
        jobs: Callable[[], list[JobTick]],
        draining: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._draining = draining
        self._server_id = new_server_id()
        self._reached = True

    async def beat_forever(self, callback_url: str) -> None:
        """Report until cancelled; an API that is away is logged once, and once when it is back."""
        async with httpx.AsyncClient(base_url=callback_url.rstrip("/"), timeout=_TIMEOUT) as http:
            while True:
                await self._beat(http)
                await asyncio.sleep(HEARTBEAT_SECONDS)

    def heartbeat(self) -> Heartbeat:
        """What there is to report now."""
        return Heartbeat(
            server_id=self._server_id,
            agent_name=self._settings.dispatch_name,
            max_jobs=self._settings.max_jobs,
            draining=self._draining(),
            version=agent_version(),
            jobs=self._jobs(),
        )

    async def _beat(self, http: httpx.AsyncClient) -> None:
        body = self.heartbeat().model_dump_json()
        headers = {"Authorization": self._sign(body), "Content-Type": "application/json"}
        try:
            response = await http.post(HEARTBEAT_PATH, content=body, headers=headers)
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            self._note_failure(f"the API answered {error.response.status_code}")
        except httpx.TransportError as error:
            self._note_failure(type(error).__name__)
        else:
            if not self._reached:
                log.info("heartbeat_delivered_again")
            self._reached = True

    def _note_failure(self, why: str) -> None:
        if self._reached:
            log.warning("heartbeat_not_delivered", why=why)
        self._reached = False

    def _sign(self, body: str) -> str:
        secret = self._settings.livekit_api_secret.get_secret_value()
        return sign_body(self._settings.livekit_api_key, secret, body.encode(), HEARTBEAT)


class RunningJobs:
    """The running jobs of an agent server as ticks; each job's metadata is read once."""

    def __init__(self, server: CountingAgentServer) -> None:
        self._server = server
        self._known: dict[str, JobTick] = {}

    def ticks(self) -> list[JobTick]:
        """One tick per running job."""
        running = {info.job.id: info for info in self._server.active_jobs}
        self._known = {
            job_id: self._known.get(job_id) or _tick(info) for job_id, info in running.items()
        }
        return list(self._known.values())


def _tick(info: RunningJobInfo) -> JobTick:
    try:
        metadata = DispatchMetadata.model_validate_json(info.job.metadata)
    except ValidationError:
        return JobTick(job_id=info.job.id)
    everline = metadata.everline
    return JobTick(
        job_id=info.job.id,
        org=everline.org if everline else None,
        session_id=metadata.session_id,
        attempt=everline.attempt if everline else None,
    )
