"""LiveKit's rooms, participants and dispatches."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Self, TypeVar

from livekit.protocol import agent_dispatch as dispatch_protocol
from livekit.protocol import models
from livekit.protocol import room as room_protocol
from typing_extensions import override

from adapters.livekit.connection import LiveKitConnection
from adapters.livekit.errors import LiveKitHasNone, LiveKitLostNode, livekit_call
from adapters.livekit.kinds import participant_kind
from adapters.livekit.urls import api_url
from adapters.settings import LiveKitSettings
from domain.errors import NotFound, Unavailable
from domain.sessions.ports import Dispatch, Participant, Room, Rooms

Answer = TypeVar("Answer")


class LiveKitRooms(Rooms):
    """The rooms of a LiveKit server or of LiveKit Cloud.

    LiveKit has two sources. Its lists of rooms and participants (in Redis, if there is one) may
    have lost an entry of a live room. Requests about dispatches and data go to the node
    that holds the room, whose answer is authoritative. If there is no such node, or it cannot be
    reached, they are answered `unavailable` after 3 s; then the list tells the two cases apart.
    """

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._api_url = api_url(url)
        self._key = api_key
        self._secret = api_secret
        self._connection: LiveKitConnection | None = None

    @classmethod
    def of(cls, settings: LiveKitSettings) -> Self:
        """The rooms of the LiveKit server in the settings."""
        secret = settings.livekit_api_secret.get_secret_value()
        return cls(settings.livekit_url, settings.livekit_api_key, secret)

    @property
    @override
    def api_url(self) -> str:
        return self._api_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; another call reopens them."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    @property
    def _api(self) -> LiveKitConnection:
        # Created on first use, because it belongs to the running event loop.
        if self._connection is None:
            self._connection = LiveKitConnection(self._api_url, self._key, self._secret)
        return self._connection

    @override
    async def create(
        self, room: str, metadata: str, empty_timeout: int, departure_timeout: int
    ) -> Room:
        request = room_protocol.CreateRoomRequest(
            name=room,
            metadata=metadata,
            empty_timeout=empty_timeout,
            departure_timeout=departure_timeout,
        )
        async with livekit_call("create a room", self._api_url):
            return _room(await self._api.room.create_room(request))

    @override
    async def list_rooms(self, names: Sequence[str] | None = None) -> list[Room]:
        if names is not None and not names:
            return []
        request = room_protocol.ListRoomsRequest(names=names or [])
        async with livekit_call("list its rooms", self._api_url):
            found = await self._api.room.list_rooms(request)
        return [_room(room) for room in found.rooms]

    @override
    async def exists(self, room: str) -> bool:
        with suppress(Unavailable):  # the node does not answer
            # Every room has at least one: LiveKit's own, of unnamed agents.
            if await self._all_dispatches(room):
                return True
        return await self._listed(room)

    @override
    async def delete(self, room: str) -> bool:
        try:
            deleted = await self._delete(room)
        except LiveKitLostNode:
            # This changes nothing but assigns the room a node again.
            await self.create(room, "", 0, 0)
            deleted = await self._delete(room)
        if not deleted and await self._listed(room):
            raise Unavailable(
                f"LiveKit at {self._api_url} did not delete a room:"
                f" it lists {room}, and answers that there is no such room"
            )
        return deleted

    async def _delete(self, room: str) -> bool:
        request = room_protocol.DeleteRoomRequest(room=room)
        return await self._found("delete a room", self._api.room.delete_room(request)) is not None

    @override
    async def participants(self, room: str) -> list[Participant]:
        request = room_protocol.ListParticipantsRequest(room=room)
        listing = self._api.room.list_participants(request)
        found = await self._found("list a room's participants", listing)
        return [
            Participant(
                identity=info.identity,
                sid=info.sid,
                kind=participant_kind(info.kind),
                active=info.state == models.ParticipantInfo.ACTIVE,
                connecting=info.state
                in (models.ParticipantInfo.JOINING, models.ParticipantInfo.JOINED),
                attributes=dict(info.attributes),
            )
            for info in (found.participants if found else ())
        ]

    @override
    async def remove_participant(self, room: str, identity: str) -> bool:
        request = room_protocol.RoomParticipantIdentity(room=room, identity=identity)
        removal = self._api.room.remove_participant(request)
        return await self._found("remove a participant", removal) is not None

    @override
    async def dispatch(self, room: str, agent_name: str, metadata: str) -> str:
        request = dispatch_protocol.CreateAgentDispatchRequest(
            room=room, agent_name=agent_name, metadata=metadata
        )
        creation = self._api.agent_dispatch.create_dispatch(request)
        return (await self._in_room(room, "dispatch an agent", creation)).id

    @override
    async def dispatches(self, room: str) -> list[Dispatch]:
        try:
            found = await self._all_dispatches(room)
        except Unavailable:
            if await self._listed(room):
                raise
            return []
        # Without LiveKit's own dispatch of unnamed agents, which every room has.
        return [_dispatch(entry) for entry in found if entry.agent_name]

    @override
    async def delete_dispatch(self, room: str, dispatch_id: str) -> bool:
        deletion = self._api.agent_dispatch.delete_dispatch(dispatch_id, room)
        try:
            await self._in_room(room, "delete a dispatch", deletion)
        except NotFound:
            return False
        return True

    @override
    async def send_data(
        self, room: str, topic: str, data: bytes, identities: Sequence[str]
    ) -> None:
        # LiveKit would send to everybody.
        if not identities:
            raise ValueError("send_data needs at least one identity")
        request = room_protocol.SendDataRequest(
            room=room,
            topic=topic,
            data=data,
            kind=models.DataPacket.RELIABLE,
            destination_identities=identities,
        )
        await self._in_room(room, "send data into a room", self._api.room.send_data(request))

    async def _in_room(self, room: str, operation: str, call: Awaitable[Answer]) -> Answer:
        """The answer to a request to the room's node; `NotFound` if there is no room."""
        try:
            async with livekit_call(operation, self._api_url):
                return await call
        except (LiveKitHasNone, Unavailable) as error:
            if isinstance(error, Unavailable) and await self._listed(room):
                raise
            raise NotFound(f"LiveKit has no room {room!r}", field="room") from None

    async def _all_dispatches(self, room: str) -> list[dispatch_protocol.AgentDispatch]:
        listing = self._api.agent_dispatch.list_dispatch(room)
        return list(await self._found("list a room's dispatches", listing) or ())

    async def _found(self, operation: str, call: Awaitable[Answer]) -> Answer | None:
        """The answer to a request; None if LiveKit does not have what it names."""
        try:
            async with livekit_call(operation, self._api_url):
                return await call
        except LiveKitHasNone:
            return None

    async def _listed(self, room: str) -> bool:
        return bool(await self.list_rooms([room]))


def _room(room: models.Room) -> Room:
    return Room(
        name=room.name, sid=room.sid, metadata=room.metadata, participants=room.num_participants
    )


def _dispatch(entry: dispatch_protocol.AgentDispatch) -> Dispatch:
    agents = (job.state.participant_identity or f"agent-{job.id}" for job in entry.state.jobs)
    return Dispatch(
        id=entry.id,
        agent_name=entry.agent_name,
        metadata=entry.metadata,
        agents=frozenset(agents),
    )
