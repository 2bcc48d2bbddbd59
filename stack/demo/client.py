"""The HTTP API, used by the demo as a customer's program would, and what it reads of responses."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
from pydantic import BaseModel

_TIMEOUT = httpx.Timeout(40.0, connect=5.0)
_STREAM_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
"""The event stream sends a comment at least every 15 s."""
_RECONNECTS = 20
_RECONNECT_SECONDS = 0.5


class Started(BaseModel):
    """Response of `POST /v1/sessions/start`."""

    session_id: str
    room_name: str
    livekit_url: str
    livekit_token: str
    agent_joined: bool


class Status(BaseModel):
    """Response of `GET /v1/sessions/{session_id}`, and its `state` events."""

    org: str
    state: str
    waiting_for: str
    outcome: str | None = None
    end_reason: str | None = None
    reason: str | None = None
    attempt: int = 0
    dispatches: int = 0
    joins: int = 0
    agent_name: str
    agent_identity: str | None = None
    join_seconds: float | None = None
    report_received: bool = False
    room_deleted: bool = False

    @property
    def over(self) -> bool:
        """Whether the session is closed and its room is gone."""
        return self.state == "closed" and self.room_deleted


class Turn(BaseModel):
    """One utterance of a transcript."""

    item_id: str
    attempt: int
    role: str
    text: str
    interrupted: bool = False
    created_at: datetime

    @property
    def by_caller(self) -> bool:
        """Whether the caller said it."""
        return self.role == "user"


class TranscriptHeader(BaseModel):
    """Header of a stored transcript."""

    complete: bool
    turn_count: int
    digest: str


class Transcript(BaseModel):
    """Response of `GET /v1/sessions/{session_id}/turns`."""

    turns: list[Turn]
    transcript: TranscriptHeader | None = None


class Summary(BaseModel):
    """Response of `GET /v1/sessions/{session_id}/summary`."""

    status: str
    text: str | None = None
    attempts: int = 0
    error: str | None = None
    summariser: str | None = None
    transcript_digest: str | None = None


class ApiRefusedError(Exception):
    """The API refused a request; the message contains its response."""


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    id: str
    data: str


class SessionClient(httpx.AsyncClient):
    """Requests about one session; its own methods raise `ApiRefusedError`."""

    def __init__(self, api: str, key: str, session_id: str) -> None:
        self.session_id = session_id
        self._path = f"/v1/sessions/{session_id}"
        super().__init__(
            base_url=api, headers={"x-api-key": key}, timeout=_TIMEOUT, trust_env=False
        )

    async def start(self, body: Mapping[str, object]) -> Started:
        """Start the session and wait until its agent has joined."""
        body = {**body, "session_id": self.session_id}
        response = await self._ask("POST", "/v1/sessions/start?wait=joined", body)
        return Started.model_validate_json(response)

    async def end(self) -> None:
        """Request the end of the session."""
        await self._ask("POST", f"{self._path}/end")

    async def status(self) -> Status:
        """Return the session's status."""
        return Status.model_validate_json(await self._ask("GET", self._path))

    async def transcript(self) -> Transcript:
        """Return the stored turns."""
        return Transcript.model_validate_json(await self._ask("GET", f"{self._path}/turns"))

    async def summary(self) -> Summary:
        """Return the stored summary."""
        return Summary.model_validate_json(await self._ask("GET", f"{self._path}/summary"))

    async def events(self) -> AsyncGenerator[Event]:
        """Yield the session's events until its end."""
        path = f"{self._path}/events"
        with _refusals(f"GET {path}"):
            async with self.stream("GET", path, timeout=_STREAM_TIMEOUT) as response:
                if response.is_error:
                    await response.aread()
                response.raise_for_status()
                async for event in read_events(response.aiter_lines()):
                    yield event

    async def _ask(self, method: str, path: str, body: object = None) -> bytes:
        with _refusals(f"{method} {path}"):
            response = await self.request(method, path, json=body)
            return response.raise_for_status().content


@contextmanager
def _refusals(request: str) -> Generator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        reason = f"{error.response.status_code} {error.response.text[:400]}".strip()
        raise ApiRefusedError(f"{request}: {reason}") from None
    except httpx.HTTPError as error:
        raise ApiRefusedError(f"{request}: no response ({type(error).__name__})") from None


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


class Watch:
    """Keeps a session's turns and its latest status as they are streamed."""

    def __init__(self, client: SessionClient, on_turn: Callable[[Turn], None]) -> None:
        self.status: Status | None = None
        self.turns: list[Turn] = []
        self._client = client
        self._on_turn = on_turn
        self._seen: set[str] = set()
        self._changed = asyncio.Condition()

    async def follow(self) -> None:
        """Read the stream to its end; after a reconnect, skip events with known ids.

        Raises:
            ApiRefusedError: it broke too often.
        """
        for _ in range(_RECONNECTS):
            try:
                async for event in self._client.events():
                    await self._take_in(event)
                return
            except ApiRefusedError:
                await asyncio.sleep(_RECONNECT_SECONDS)
        raise ApiRefusedError(f"the event stream broke {_RECONNECTS} times")

    async def until(self, wanted: Callable[["Watch"], bool], within: float) -> None:
        """Wait until the events so far meet a condition.

        Raises:
            TimeoutError: they did not within that many seconds.
        """
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: wanted(self))

    async def _take_in(self, event: Event) -> None:
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        async with self._changed:
            if event.kind == "turn":
                turn = Turn.model_validate_json(event.data)
                ids = [(known.attempt, known.item_id) for known in self.turns]
                if (turn.attempt, turn.item_id) in ids:  # a revision
                    del self.turns[ids.index((turn.attempt, turn.item_id))]
                self.turns.append(turn)
                self._on_turn(turn)
            elif event.kind == "state":
                self.status = Status.model_validate_json(event.data)
            self._changed.notify_all()
