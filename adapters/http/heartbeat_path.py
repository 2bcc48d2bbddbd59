"""A check of the path that heartbeats take, for the watchdog."""

import json
import time
import uuid
from typing import Self

import httpx
from typing_extensions import override

from adapters.http.clocks import ahead_by
from adapters.livekit.signatures import HEARTBEAT, sign_body
from adapters.settings import WorkerSettings
from domain.agents.ports import HeartbeatPath
from domain.clocks import CLOCK_CURE, correction, described, differs
from domain.errors import Unavailable
from domain.sessions.control import HEARTBEAT_PATH_CHECK

_TIMEOUT = httpx.Timeout(2.0, connect=1.0)


class ApiHeartbeatPath(HeartbeatPath):
    """Asks the API, at the agents' address, for a write like that of a heartbeat."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._key = settings.livekit_api_key
        self._secret = settings.livekit_api_secret.get_secret_value()
        self._api_ahead: float | None = None
        self._http = httpx.AsyncClient(base_url=settings.callback_url, timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def _now(self) -> float:
        """The API's time: a check that is signed with another one is refused."""
        return time.time() + correction(self._api_ahead)

    @override
    async def prove(self) -> None:
        body = json.dumps({"check": uuid.uuid4().hex})
        headers = {
            "Authorization": sign_body(
                self._key, self._secret, body.encode(), HEARTBEAT, now=self._now()
            ),
            "Content-Type": "application/json",
        }
        try:
            answer = await self._http.post(HEARTBEAT_PATH_CHECK, content=body, headers=headers)
            self._api_ahead = ahead_by(answer, time.time())
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            reason = f"the API answered {error.response.status_code}"
            if self._api_ahead is not None and differs(self._api_ahead):
                reason = f"{described('the API', self._api_ahead)}; {reason}"
                raise Unavailable(reason, cure=CLOCK_CURE) from None
            raise Unavailable(reason) from None
        except httpx.RequestError as error:
            raise Unavailable(f"the API does not answer ({type(error).__name__})") from None
