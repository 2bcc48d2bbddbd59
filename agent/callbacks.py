"""The callback API as an agent uses it: claims, failures, turns and reports, over HTTP.

Every call either succeeds or raises one of two errors: `Unavailable` (try again) or `Refused`
(final). Nothing here retries.

Proxies answer as well, for instance with a 404 while the API restarts, or with a login page. So
only an answer in Everline's own form counts: a refusal is a problem (RFC 9457) with a code, and a
success has the expected body. Every other answer is an outage.
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
_PROBLEM = "application/problem+json"
_LARGE_BYTES = 64 * 1024
"""Proxies take requests up to this size: the lowest usual limit is 128 KiB."""
_CLOSED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


@cache
def tls_context() -> ssl.SSLContext:
    """The trusted certificates, loaded once: that takes a tenth of a second."""
    return ssl.create_default_context()


class CallbackError(Exception):
    """A callback did not succeed; the message holds no token and no transcript text."""


class Unavailable(CallbackError):
    """The API is unreachable or cannot accept the request now: try again."""


class TooLarge(Unavailable):
    """A shorter request may be accepted: a proxy may refuse this one because of its size."""

    def __init__(self, message: str, *, certain: bool = False) -> None:
        super().__init__(message)
        self.certain = certain
        """Whether it says so, or only looks so: a dying API closes connections, too."""


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


class _TurnsStored(BaseModel):
    stored: int
    duplicates: int


class _ReportStored(BaseModel):
    sessionId: str
    stored: bool


class _RecordingStored(BaseModel):
    stored: bool


class _Accepted(BaseModel):
    accepted: bool


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
            response = await self._send("POST", "/v1/agent/ready", claim.model_dump(mode="json"))
            return read_answer(ReadyAnswer, response)
        except Refused as refused:
            if refused.status == 409:
                return ReadyAnswer(accepted=False, reason=refused.detail)
            raise

    async def failed(self, failure: AgentFailed) -> None:
        """Report that this attempt's agent cannot start."""
        body = failure.model_dump(mode="json")
        read_answer(_Accepted, await self._send("POST", "/v1/agent/failed", body))

    async def turns_so_far(self, session_id: str) -> list[Turn]:
        """All turns of the session's earlier attempts, in order."""
        path = f"/v1/sessions/{session_id}/turns"
        return read_answer(_TurnsAnswer, await self._send("GET", path)).turns

    async def managed_agent(self, agent_id: str) -> DispatchMetadata:
        """The resolved configuration of a saved agent that takes over."""
        path = f"/v1/agent/managed-agents/{quote(agent_id, safe='')}"
        return read_answer(DispatchMetadata, await self._send("GET", path))

    async def remaining(self) -> float | None:
        """Seconds until the session ends the call; None if it has no such time."""
        return read_answer(TimeLeft, await self._send("GET", "/v1/agent/time-left")).remaining

    async def add_turns(self, session_id: str, turns: list[dict[str, Any]]) -> None:
        """Hand in turns; the API does not store known ones twice."""
        path = f"/v1/sessions/{session_id}/turns"
        read_answer(_TurnsStored, await self._send("POST", path, {"turns": turns}))

    async def report(self, report: dict[str, Any]) -> None:
        """Hand in the report of this attempt."""
        read_answer(_ReportStored, await self._send("POST", "/session/observability", report))

    async def recording(self, recording: CallRecording) -> None:
        """Report the state of this attempt's recording."""
        body = recording.model_dump(mode="json")
        read_answer(_RecordingStored, await self._send("POST", "/v1/agent/recording", body))

    async def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        request = self.build_request(method, path, json=body)
        try:
            return await self.send(request)
        except httpx.RequestError as error:
            # Some proxies close the connection instead of answering 413.
            closed = isinstance(error, _CLOSED)
            kind = TooLarge if closed and _is_large(request) else Unavailable
            raise kind(f"{method} {path}: {type(error).__name__}") from error


_Answer = TypeVar("_Answer", bound=BaseModel)


def read_answer(model: type[_Answer], response: httpx.Response) -> _Answer:
    """The API's answer.

    Raises:
        Refused: the API refuses the request for good.
        TooLarge: the answer is 413, or a proxy refuses a large request.
        Unavailable: any other answer, whether of the API or of a proxy.
    """
    what = f"{response.request.method} {response.request.url.path}"
    status = response.status_code
    if response.is_success:
        try:
            return model.model_validate_json(response.content, context=FROM_ANOTHER_VERSION)
        except ValidationError as error:
            raise Unavailable(
                f"{what}: the answer ({status}) is not a {model.__name__.lstrip('_')}"
                f" ({error.error_count()} faults); a proxy may have sent it"
            ) from None
    if status == 413:
        raise TooLarge(f"{what}: the request is too large (413)", certain=True)
    problem = _problem(response)
    if problem is None:
        # Some proxies answer 403 or 400 to a request that is too large.
        kind = TooLarge if 400 <= status < 500 and _is_large(response.request) else Unavailable
        raise kind(f"{what}: a proxy, not the API, answered {status}")
    if 400 <= status < 500 and status not in _RETRIABLE_CLIENT_ERRORS:
        raise Refused(status, problem.detail[:300])
    raise Unavailable(f"{what}: the API answered {status}")


def _is_large(request: httpx.Request) -> bool:
    return len(request.content) > _LARGE_BYTES


class _Problem(BaseModel):
    """A problem response of the API; never the whole body, which may quote the request."""

    title: str
    status: int
    code: str
    """Proxies and other frameworks send problems too, but without this field."""
    detail: str


def _problem(response: httpx.Response) -> _Problem | None:
    """The API's problem; None if something else has answered."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _PROBLEM:
        return None
    try:
        problem = _Problem.model_validate_json(response.content, context=FROM_ANOTHER_VERSION)
    except ValidationError:
        return None
    return problem if problem.status == response.status_code else None
