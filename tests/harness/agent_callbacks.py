"""Callbacks as an agent would make them, with genuine and with wrong tokens."""

import time
from datetime import UTC, datetime
from typing import Any

import httpx

from domain.ids import SessionKey
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.transcripts.transcript import Role, Turn


def token(secret: str, key: SessionKey, attempt: int = 1, lifetime: float = 600) -> str:
    """A callback token; a negative lifetime (seconds) makes one that has expired."""
    expires = int(time.time() + lifetime)
    claims = CallbackClaims(
        org=key.org, session_id=key.session_id, attempt=attempt, expires=expires
    )
    return callback_token.mint(secret, claims)


def report(attempt: int = 1, end_reason: str = "agent_ended", **fields: Any) -> dict[str, Any]:
    """The body of a report of Everline's agent worker."""
    own = {"report_version": 2, "attempt": attempt, "foreign": False}
    return own | {"end_reason": end_reason, **fields}


def turn(
    item_id: str, text: str, attempt: int = 1, seq: int = 0, agent_id: str | None = None
) -> dict[str, Any]:
    """A turn's body."""
    spoken = Turn(
        item_id=item_id,
        attempt=attempt,
        seq=seq,
        role=Role.USER,
        text=text,
        created_at=datetime.now(UTC),
        agent_id=agent_id,
    )
    return spoken.model_dump(mode="json")


class AgentCallbacks:
    """The callback API with one token."""

    def __init__(self, http: httpx.AsyncClient, given: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {given}"}

    async def ready(self, attempt: int, job_id: str) -> httpx.Response:
        """Claim an attempt."""
        body = {"attempt": attempt, "job_id": job_id, "identity": f"agent-{job_id}"}
        return await self._post("/v1/agent/ready", body)

    async def report(self, body: dict[str, Any]) -> httpx.Response:
        """Hand in a report."""
        return await self._post("/session/observability", body)

    async def turns(self, session_id: str, turns: list[dict[str, Any]]) -> httpx.Response:
        """Hand in turns."""
        return await self._post(f"/v1/sessions/{session_id}/turns", {"turns": turns})

    async def failed(self, attempt: int, reason: str) -> httpx.Response:
        """Say that the agent cannot start."""
        body = {"event_id": f"failed:{attempt}:test", "attempt": attempt, "reason": reason}
        return await self._post("/v1/agent/failed", body)

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        # Without the client's API key: an agent has none.
        request = self._http.build_request("POST", path, json=body, headers=self._headers)
        request.headers.pop("x-api-key", None)
        return await self._http.send(request)
