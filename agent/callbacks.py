"""The callback API as an agent uses it: claims, failures, turns and reports, over HTTP.

Every call either succeeds or raises one of two errors: `Unavailable` (try again) or `Refused`
(final). Nothing here retries.
"""

import ssl
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from domain.json_model import FROM_ANOTHER_VERSION
from domain.recordings.recording import CallRecording
from domain.sessions.dispatch_metadata import DispatchMetadata
from domain.sessions.messages import AgentFailed, AgentReady, ReadyAnswer, TimeLeft
from domain.transcripts.transcript import Turn

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_RETRIABLE_CLIENT_ERRORS = {408, 425, 429}


@cache
def tls_context() -> ssl.SSLContext:
    """The trusted certificates, loaded once: that takes a tenth of a second."""
    return ssl.create_default_context()


class CallbackError(Exception):
    """A callback did not succeed; the message holds no token and no transcript text."""


class Unavailable(CallbackError):
    """The API is unreachable or cannot accept the request now: try again."""


class Refused(CallbackError):
    """The API has refused the request for good; `detail` is the problem's own text, if any."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the API answered {status}: {detail}")
        self.status = status
        self.detail = detail

    @property
    def concerns_all(self) -> bool:
        """Whether the token or the session is refused, not just this body."""
        return self.status in (401, 403, 404, 410)


class _TurnsAnswer(BaseModel):
    turns: list[Turn]


class CallbackClient(httpx.AsyncClient):
    """Callbacks of one attempt of one session."""

    def __init__(self, base_url: str, token: str) -> None:
        super().__init__(
            base_url=base_url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT,
            verify=tls_context(),
        )

    async def ready(self, claim: AgentReady) -> ReadyAnswer:
        """Claim the attempt; a 409 means that the claim is refused."""
        try:
            response = await self._call("POST", "/v1/agent/ready", claim.model_dump(mode="json"))
        except Refused as refused:
            if refused.status == 409:
                return ReadyAnswer(accepted=False, reason=refused.detail)
            raise
        return _parse(ReadyAnswer, response)

    async def failed(self, failure: AgentFailed) -> None:
        """Report that this attempt's agent cannot start."""
        await self._call("POST", "/v1/agent/failed", failure.model_dump(mode="json"))

    async def turns_so_far(self, session_id: str) -> list[Turn]:
        """All turns of the session's earlier attempts, in order."""
        response = await self._call("GET", f"/v1/sessions/{session_id}/turns")
        return _parse(_TurnsAnswer, response).turns

    async def managed_agent(self, agent_id: str) -> DispatchMetadata:
        """The resolved configuration of a saved agent that takes over."""
        path = f"/v1/agent/managed-agents/{quote(agent_id, safe='')}"
        return _parse(DispatchMetadata, await self._call("GET", path))

    async def remaining(self) -> float | None:
        """Seconds until the session ends the call; None if it has no such time."""
        return _parse(TimeLeft, await self._call("GET", "/v1/agent/time-left")).remaining

    async def add_turns(self, session_id: str, turns: list[dict[str, Any]]) -> None:
        """Hand in turns; the API does not store known ones twice."""
        await self._call("POST", f"/v1/sessions/{session_id}/turns", {"turns": turns})

    async def report(self, report: dict[str, Any]) -> None:
        """Hand in the report of this attempt."""
        await self._call("POST", "/session/observability", report)

    async def recording(self, recording: CallRecording) -> None:
        """Report the state of this attempt's recording."""
        await self._call("POST", "/v1/agent/recording", recording.model_dump(mode="json"))

    async def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            response = await self.request(method, path, json=body)
        except httpx.RequestError as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}") from error
        status = response.status_code
        if response.is_success:
            return response
        if 400 <= status < 500 and status not in _RETRIABLE_CLIENT_ERRORS:
            raise Refused(status, _problem(response))
        raise Unavailable(f"{method} {path}: the API answered {status}")


_Answer = TypeVar("_Answer", bound=BaseModel)


def _parse(model: type[_Answer], response: httpx.Response) -> _Answer:
    try:
        return model.model_validate_json(response.content, context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        raise Unavailable(
            f"{response.request.url.path}: the answer is not a {model.__name__}"
            f" ({error.error_count()} faults)"
        ) from None


class _Problem(BaseModel):
    """A problem response (RFC 9457); never the whole body, which may quote the request."""

    detail: str | None = None
    message: str | None = None
    title: str | None = None


def _problem(response: httpx.Response) -> str:
    """The text of a problem response, bounded."""
    try:
        problem = _Problem.model_validate_json(response.content, context=FROM_ANOTHER_VERSION)
    except ValidationError:
        return response.reason_phrase
    return (problem.detail or problem.message or problem.title or response.reason_phrase)[:300]
