"""A client of the API that writes down what it is promised."""

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import httpx

from domain.ids import SessionKey
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.summary import Summary
from domain.transcripts.transcript import TranscriptHeader, Turn
from tests.harness.ledger import AcceptedStart, Ledger
from tests.waiting import eventually

QUICK: dict[str, float] = {
    "join_timeout": 30,
    "ready_timeout": 30,
    "join_attempts": 3,
    "join_backoff": 0.2,
    "caller_wait": 120,
    "caller_return": 4,
    "caller_hangup_return": 0.5,
    "max_duration": 600,
    "report_grace": 30,
    "lost_report_grace": 1,
    "archive_wait": 30,
    "summary_wait": 60,
    "room_deletion_wait": 30,
}
"""What is to come has time on a busy machine; a test that waits in vain names a shorter one."""


@dataclass(frozen=True)
class StartedSession:
    """What a start answered."""

    key: SessionKey
    status_code: int
    answer: dict[str, Any]

    @property
    def room(self) -> str:
        """LiveKit's name of the room."""
        return self.answer["room_name"]


@dataclass(frozen=True)
class Transcript:
    """Turns as a client sees them."""

    turns: list[Turn]
    header: TranscriptHeader | None

    def said(self, role: str) -> list[str]:
        """The texts of one side, in order."""
        return [turn.text for turn in self.turns if turn.role == role]


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a session's stream."""

    name: str
    id: str
    data: dict[str, Any]


class Client:
    """One org's client."""

    def __init__(self, base_url: str, api_key: str, org: str, ledger: Ledger) -> None:
        self.org = org
        self.ledger = ledger
        self.http = httpx.AsyncClient(
            base_url=base_url,
            headers={"x-api-key": api_key},
            timeout=40,
            trust_env=False,
            event_hooks={"response": [self._note_error]},
        )

    async def _note_error(self, response: httpx.Response) -> None:
        if response.is_error:
            await response.aread()
            self.ledger.error_bodies.append(response.text)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    async def try_start(
        self,
        *,
        wait: str = "dispatched",
        idempotency_key: str | None = None,
        limits: dict[str, float] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Ask for a session, whatever comes of it; budgets are `QUICK` unless given otherwise."""
        body["limits"] = QUICK | (limits or {})
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        response = await self.http.post(
            "/v1/sessions/start", json=body, headers=headers, params={"wait": wait}
        )
        if response.is_success:
            self._note_start(response.json(), idempotency_key, body)
        return response

    async def start(self, **how: Any) -> StartedSession:
        """Start a session that has to start; `joined` has its agent in, however long it takes."""
        response = await self.try_start(**how)
        assert response.is_success, f"{response.status_code} {response.text}"
        answer = response.json()
        key = SessionKey(self.org, answer["session_id"])
        if how.get("wait") == "joined":
            # The API answers after half a minute, whether the agent is in or not.
            await self.until(key.session_id, 90, agent_joined=True)
        return StartedSession(key, response.status_code, answer)

    async def start_at_last(
        self, idempotency_key: str, within: float, **how: Any
    ) -> StartedSession:
        """Start a session as a good client does: the same request again until it is answered."""
        started: StartedSession | None = None

        async def answered() -> bool:
            nonlocal started
            try:
                response = await self.try_start(idempotency_key=idempotency_key, **how)
            except httpx.TransportError:
                return False
            if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                return False
            assert response.is_success, f"{response.status_code} {response.text}"
            answer = response.json()
            started = StartedSession(
                SessionKey(self.org, answer["session_id"]), response.status_code, answer
            )
            return True

        await eventually(answered, within, "a start is answered")
        assert started is not None
        return started

    def _note_start(self, answer: dict[str, Any], key: str | None, body: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        session = SessionKey(self.org, answer["session_id"])
        self.ledger.starts.append(AcceptedStart(session, answer["room_name"], key, digest))

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    async def status(self, session_id: str) -> SessionStatus:
        """What the session says of itself."""
        response = await self.http.get(f"/v1/sessions/{session_id}")
        response.raise_for_status()
        status = SessionStatus.model_validate(response.json())
        self.ledger.note_status(status)
        return status

    async def until(self, session_id: str, within: float, **wanted: Any) -> SessionStatus:
        """Wait until fields of the status have these values; a moment's outage only delays."""
        seen: SessionStatus | None = None

        async def reached() -> bool:
            nonlocal seen
            try:
                seen = await self.status(session_id)
            except (httpx.TransportError, httpx.HTTPStatusError):
                return False
            return all(getattr(seen, name) == value for name, value in wanted.items())

        try:
            await eventually(reached, within, f"{session_id}: {wanted}")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{describe(seen)}") from None
        assert seen is not None
        return seen

    async def closed(self, session_id: str, within: float = 90) -> SessionStatus:
        """Wait until a session is closed and its room is deleted."""
        return await self.until(session_id, within, state=SessionState.CLOSED, room_deleted=True)

    async def transcript(self, session_id: str) -> Transcript:
        """The turns so far."""
        response = await self.http.get(f"/v1/sessions/{session_id}/turns")
        response.raise_for_status()
        answer = response.json()
        turns = [Turn.model_validate(turn) for turn in answer["turns"]]
        for turn in turns:
            self.ledger.note_turn(SessionKey(self.org, session_id), turn)
        header = answer["transcript"]
        return Transcript(turns, TranscriptHeader.model_validate(header) if header else None)

    async def until_turns(self, session_id: str, count: int, within: float = 60) -> Transcript:
        """Wait until so many turns are stored."""
        seen = Transcript([], None)

        async def reached() -> bool:
            nonlocal seen
            try:
                seen = await self.transcript(session_id)
            except (httpx.TransportError, httpx.HTTPStatusError):
                return False
            return len(seen.turns) >= count

        await eventually(reached, within, f"{session_id}: {count} turns stored")
        return seen

    async def summary(self, session_id: str) -> Summary:
        """The summary."""
        response = await self.http.get(f"/v1/sessions/{session_id}/summary")
        response.raise_for_status()
        return Summary.model_validate(response.json())

    async def events(self, session_id: str) -> AsyncGenerator[ServerSentEvent]:
        """The session's events until its stream ends."""
        path = f"/v1/sessions/{session_id}/events"
        async with self.http.stream("GET", path, timeout=90) as response:
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if name:
                    fields[name] = value.strip()
                elif "event" in fields:
                    yield ServerSentEvent(fields["event"], fields["id"], json.loads(fields["data"]))
                    fields = {}

    # ── changing ─────────────────────────────────────────────────────────────────────────────────

    async def end(self, session_id: str) -> bool:
        """Ask for a session's end; False if it was closed before."""
        response = await self.http.post(f"/v1/sessions/{session_id}/end")
        assert response.is_success, f"{response.status_code} {response.text}"
        return response.json()["ended"]

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()


def describe(status: SessionStatus | None) -> str:
    """A session's story so far, for the message of a failed test."""
    if status is None:
        return "no status was to be had"
    head = status.model_dump_json(exclude={"timeline"}, exclude_none=True, indent=1)
    return "\n".join([head, *(f"{entry.at:%H:%M:%S.%f} {entry.text}" for entry in status.timeline)])
