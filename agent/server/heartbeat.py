"""The agent server's heartbeat: every two seconds, signed as LiveKit signs its webhooks.

It is sent at once when a slot is taken or freed and when a job is lost, and within `CHECK_SECONDS`
when the server begins to drain.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx
import structlog

from adapters.http.clocks import ahead_by
from adapters.livekit.signatures import HEARTBEAT, sign_body
from adapters.settings import AgentSettings
from agent.callbacks import CallbackError, read_answer
from agent.repeating import repeat
from agent.server.running_jobs import RunningJobs
from agent.version import agent_version
from domain.agents.servers import Heartbeat, HeartbeatAnswer
from domain.clocks import CLOCK_CURE, correction, described, differs
from domain.sessions.control import HEARTBEAT_PATH

log = structlog.stdlib.get_logger(__name__)

HEARTBEAT_SECONDS = 2.0
CHECK_SECONDS = 0.5
"""How often the jobs are checked in between."""
RETRY_SECONDS = 1.0
"""After a failed heartbeat: a server that is silent for too long counts as dead."""
_TIMEOUT = httpx.Timeout(3.0, connect=2.0)


@dataclass
class HeartbeatSender:
    """Reports the jobs of one agent server to the API."""

    settings: AgentSettings
    callback_url: str
    jobs: RunningJobs
    draining: Callable[[], bool]
    spool: str | None = None
    delivered: Callable[[], None] = lambda: None
    """Called when the API accepts a loss, or is back: what waits in the spool can be delivered."""

    def __post_init__(self) -> None:
        self._server_id = f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._beats = 0
        self._reached = True
        self._said_draining = False
        self._api_ahead: float | None = None
        """Seconds by which the API's clock is ahead, according to its last answer."""
        self._due = 0.0
        """When the next heartbeat is, on the event loop's clock."""
        self._http = httpx.AsyncClient(base_url=self.callback_url.rstrip("/"), timeout=_TIMEOUT)

    async def beat_forever(self) -> None:
        """Report until cancelled; logs once when the API is lost, and once when it is back."""
        await repeat("heartbeat", self._check, pause=0.0, pause_after_failure=RETRY_SECONDS)

    async def _check(self) -> None:
        """Check the jobs, and report them if that is due; then wait for the next check."""
        loop = asyncio.get_running_loop()
        self.jobs.check()
        changed = self.jobs.changed.is_set() or self.draining() != self._said_draining
        if changed or loop.time() >= self._due:
            self.jobs.changed.clear()
            begun = loop.time()
            # From its beginning: after one that timed out, the next follows at once.
            self._due = begun + (HEARTBEAT_SECONDS if await self.beat() else RETRY_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.jobs.changed.wait(), CHECK_SECONDS)

    async def beat(self) -> bool:
        """Report once; returns whether the API accepted it."""
        await self.jobs.read_spool()
        beat = self._next()
        body = beat.model_dump_json()
        secret = self.settings.livekit_api_secret.get_secret_value()
        # By the API's clock, because it refuses a heartbeat that was signed at another time.
        now = time.time() + correction(self._api_ahead)
        token = sign_body(self.settings.livekit_api_key, secret, body.encode(), HEARTBEAT, now=now)
        headers = {"Authorization": token, "Content-Type": "application/json"}
        try:
            response = await self._http.post(HEARTBEAT_PATH, content=body, headers=headers)
            self._compare_clocks(response)
            answer = read_answer(HeartbeatAnswer, response)
        except (httpx.HTTPError, CallbackError) as error:
            if self._reached:
                why = str(error) if isinstance(error, CallbackError) else type(error).__name__
                log.warning("heartbeat_not_delivered", why=why)
            self._reached = False
            return False
        if not self._reached:
            log.info("heartbeat_delivered_again")
        if not self._reached or beat.lost:
            self.delivered()
        self._reached = True
        self.jobs.acknowledged(beat.lost)
        self.jobs.stop(answer.stop)
        return True

    def _compare_clocks(self, response: httpx.Response) -> None:
        before, self._api_ahead = self._api_ahead, ahead_by(response, time.time())
        if self._api_ahead is not None and differs(self._api_ahead) and not differs(before):
            reason = described("the API", self._api_ahead)
            log.warning("clock_differs", why=reason, cure=CLOCK_CURE)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _next(self) -> Heartbeat:
        self._beats += 1
        self._said_draining = self.draining()
        return Heartbeat(
            server_id=self._server_id,
            number=self._beats,
            agent_name=self.settings.dispatch_name,
            max_jobs=self.settings.max_jobs,
            free=0 if self._said_draining else self.jobs.free,
            draining=self._said_draining,
            version=agent_version(),
            spool=self.spool,
            jobs=self.jobs.check(),
            lost=self.jobs.lost,
            sent_at=time.time(),
        )
