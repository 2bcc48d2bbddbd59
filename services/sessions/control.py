"""Find sessions, read their status, end them and operate on them."""

import hashlib
from dataclasses import dataclass
from uuid import uuid4

from domain.agents.servers import MORE_PLACES
from domain.errors import (
    Conflict,
    EverlineError,
    IdempotencyMismatch,
    NoCapacity,
    NotFound,
    Unavailable,
)
from domain.ids import SessionKey, livekit_room_name, local_room_name, org_of_room
from domain.sessions.messages import EndRequest
from domain.sessions.ports import Installation, Operation, Rooms, SessionArchive, Sessions
from domain.sessions.rooms import RoomOwner, owner_of_room
from domain.sessions.session import SessionStatus
from services.agents.admission import RETRY_SECONDS

END_EVENT = "end"
"""A constant, so that repeated requests are one signal."""


@dataclass
class SessionControl:
    """What can be done with a started session."""

    sessions: Sessions
    rooms: Rooms
    installation: Installation
    records: SessionArchive | None

    async def require(self, key: SessionKey) -> None:
        """Return if the session exists in this org, open, closed or archived.

        A session that Temporal knows does not need MongoDB.

        Raises:
            NotFound: neither Temporal nor MongoDB knows it.
            Unavailable: one of them is down and may know it.
        """
        try:
            known = await self.sessions.exists(key)
        except Unavailable:
            if not await self._record(key):
                raise
            return
        if not known and not await self._record(key):
            raise NotFound(f"there is no session {key.session_id}", field="sessionId")

    async def status(self, key: SessionKey) -> SessionStatus:
        """The status from the workflow, or from the archive if the workflow does not answer.

        Raises:
            NotFound: neither knows the session.
            Unavailable: it may exist, but Temporal does not answer.
        """
        try:
            return await self.sessions.status(key)
        except EverlineError:
            recorded = await self._record(key)
            if recorded is None:
                raise
            return recorded

    async def end(self, key: SessionKey, by: str) -> bool:
        """Ask a session to end; False if it is closed already.

        Raises:
            NotFound: there is no such session in this org.
            Unavailable: Temporal is away.
        """
        # Checked first: Temporal accepts an event that it knows even if the session is closed.
        if await self.sessions.is_open(key) and await self.sessions.signal(
            key, EndRequest(event_id=END_EVENT, by=by)
        ):
            return True
        await self.require(key)
        return False

    async def operate(
        self, key: SessionKey, operation: Operation, idempotency_key: str | None
    ) -> SessionStatus:
        """Extend, redispatch or finalise an open session, once per idempotency key.

        Raises:
            NotFound: there is no such session in this org.
            Conflict: the session is closed, or its state does not allow it.
            NoCapacity: no agent server has room for a new agent.
            IdempotencyMismatch: the key was used with another body.
            Unavailable: Temporal is away, or no worker answers.
        """
        try:
            return await self.sessions.operate(
                key, operation, _update_id(operation, idempotency_key)
            )
        except IdempotencyMismatch as error:
            error.field = "Idempotency-Key"
            error.cure = "repeat the request unchanged, or use another Idempotency-Key"
            raise
        except NoCapacity as error:
            # Temporal answers a repeated update id with the same refusal.
            again = "; then send another Idempotency-Key" if idempotency_key else ""
            error.cure, error.retry_after = MORE_PLACES + again, RETRY_SECONDS
            raise
        except NotFound:
            await self.require(key)
            raise Conflict(f"session {key.session_id} is closed", field="sessionId") from None

    async def by_room(self, org: str, room_name: str) -> SessionKey:
        """The session of a room of the org; `room_name` in either form of `GivenRoomName`.

        Raises:
            NotFound: no session of this org has, or had, such a room.
        """
        room = livekit_room_name(org, local_room_name(org, room_name))
        key = await self.by_livekit_room(room)
        if key is None:
            raise NotFound(f"there is no session in room {room_name}", field="roomName")
        return key

    async def by_livekit_room(self, livekit_room: str) -> SessionKey | None:
        """The session that has, or had, the room with this LiveKit name; None if there is none.

        The name decides about the org: metadata that claims another one is ignored.
        """
        org = org_of_room(livekit_room)
        if org is None:
            return None
        for found in await self.rooms.list_rooms([livekit_room]):
            owner = owner_of_room(found.metadata)
            if owner and owner.key.org == org and not await self.of_another_installation(owner):
                return owner.key
        return await self.sessions.find_by_room(org, livekit_room)

    async def of_another_installation(self, owner: RoomOwner) -> bool:
        """Whether another installation opened a room; a room without an id may be ours.

        Raises:
            Unavailable: Temporal, which knows our id, does not answer.
        """
        return owner.installation not in (None, await self.installation.id())

    async def _record(self, key: SessionKey) -> SessionStatus | None:
        return await self.records.get(key) if self.records else None


def _update_id(operation: Operation, idempotency_key: str | None) -> str:
    """The same for the same request: Temporal answers a known id without the session."""
    if idempotency_key is None:
        return f"{type(operation).__name__}:{uuid4().hex}"
    body = operation.model_dump_json(exclude={"by", "idempotency_key"})
    digest = hashlib.sha256(f"{idempotency_key}\n{body}".encode()).hexdigest()
    return f"{type(operation).__name__}:{digest}"
