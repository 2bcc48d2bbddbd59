"""The HTTP API, used by the demo as a customer's program would."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from stack.demo.answers import Started, Status, Summary, Transcript

_Answer = TypeVar("_Answer", bound=BaseModel)

_TIMEOUT = httpx.Timeout(40.0, connect=5.0)
_QUIET = httpx.Timeout(30.0, connect=5.0)
"""The event stream sends a comment at least every 15 s."""


class ApiRefusedError(Exception):
    """The API refused a request; the message contains its response."""


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    id: str
    data: str


class SessionClient:
    """Requests about one session."""

    def __init__(self, api: str, key: str, session_id: str) -> None:
        self.session_id = session_id
        self._path = f"/v1/sessions/{session_id}"
        self._http = httpx.AsyncClient(
            base_url=api, headers={"x-api-key": key}, timeout=_TIMEOUT, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def start(self, body: Mapping[str, object]) -> Started:
        """Start the session and wait until its agent has joined."""
        given = {**body, "session_id": self.session_id}
        return await self._ask(Started, "POST", "/v1/sessions/start?wait=joined", given)

    async def end(self) -> None:
        """Request the end of the session."""
        await self._send("POST", f"{self._path}/end")

    async def status(self) -> Status:
        """Return the session's status."""
        return await self._ask(Status, "GET", self._path)

    async def transcript(self) -> Transcript:
        """Return the stored turns."""
        return await self._ask(Transcript, "GET", f"{self._path}/turns")

    async def summary(self) -> Summary:
        """Return the stored summary."""
        return await self._ask(Summary, "GET", f"{self._path}/summary")

    async def events(self) -> AsyncGenerator[Event]:
        """Yield the session's events until its end.

        Raises:
            ApiRefusedError: the stream was refused or broke.
        """
        try:
            async with self._http.stream("GET", f"{self._path}/events", timeout=_QUIET) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise ApiRefusedError(f"GET {self._path}/events: {_reason(answer)}")
                async for event in read_events(answer.aiter_lines()):
                    yield event
        except httpx.HTTPError as error:
            raise ApiRefusedError(
                f"GET {self._path}/events broke ({type(error).__name__})"
            ) from None

    async def _ask(
        self,
        model: type[_Answer],
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
    ) -> _Answer:
        answer = await self._send(method, path, body)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
            raise ApiRefusedError(f"{method} {path}: the answer lacks {fields}") from None

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ApiRefusedError(f"{method} {path}: no answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise ApiRefusedError(f"{method} {path}: {_reason(answer)}")
        return answer


async def read_events(lines: AsyncIterator[str]) -> AsyncGenerator[Event]:
    """Parse the lines of a `text/event-stream`."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = fields[name] + "\n" + value[1:] if name in fields else value[1:]
        elif not line:
            if "data" in fields:
                yield Event(fields.get("event", "message"), fields.get("id", ""), fields["data"])
            fields = {}


def _reason(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:400]}".strip()
