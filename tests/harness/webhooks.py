"""LiveKit's webhooks as LiveKit signs them, and as somebody else would."""

import json
import time
import uuid
from typing import Any

import httpx

from adapters.livekit.signatures import WEBHOOK, sign_body
from domain.ids import SessionKey
from domain.sessions.rooms import room_metadata

VISITOR = "visitor"
"""Who comes and leaves in these events."""


class Webhooks:
    """Sends events about one session's room."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        api_key: str,
        secret: str,
        key: SessionKey,
        installation: str,
    ) -> None:
        self._http = http
        self._api_key, self._secret = api_key, secret
        self._key = key
        self._installation = installation

    def event(self, name: str, sid: str | None = None, **fields: Any) -> bytes:
        """The body of an event; `age` in seconds, `room` and `installation` to name others."""
        age = fields.pop("age", 0)
        room = fields.pop("room", f"{self._key.org}.{self._key.session_id}")
        metadata = room_metadata(self._key, fields.pop("installation", self._installation))
        event: dict[str, Any] = {
            "event": name,
            "id": f"EV_{uuid.uuid4().hex[:12]}",
            "createdAt": str(int(time.time() - age)),
            "room": {"name": room, "sid": "RM_test", "metadata": metadata},
        }
        if sid:
            event["participant"] = {"sid": sid, "identity": VISITOR, "kind": "STANDARD"}
        return json.dumps(event | fields).encode()

    async def send(self, body: bytes, secret: str | None = None) -> httpx.Response:
        """Send a body, signed with LiveKit's secret unless another is given."""
        signature = sign_body(self._api_key, secret or self._secret, body, WEBHOOK)
        return await self.send_signed(body, signature)

    async def send_signed(self, body: bytes, signature: str) -> httpx.Response:
        """Send a body with a signature that may be of another one."""
        headers = {"Authorization": signature, "Content-Type": "application/webhook+json"}
        return await self._http.post("/v1/livekit/webhook", content=body, headers=headers)
