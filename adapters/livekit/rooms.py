"""LiveKit's rooms, participants and dispatches."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from livekit import api
from livekit.protocol import agent_dispatch as dispatch_protocol
from livekit.protocol import models
from livekit.protocol import room as room_protocol
from typing_extensions import override

from adapters.livekit.errors import LiveKitHasNone, LiveKitLostNode, livekit_call
from adapters.livekit.kinds import participant_kind
from adapters.livekit.urls import api_url
from adapters.settings import LiveKitSettings
from domain.errors import NotFound, Unavailable
from domain.sessions.ports import Dispatch, Participant, Room, Rooms


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
        self._connection: api.LiveKitAPI | None = None

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
            # LiveKitAPI.aclose is not annotated.
            await connection.aclose()  # pyright: ignore[reportUnknownMemberType]

    @property
    def _api(self) -> api.LiveKitAPI:
        # Created on first use: an aiohttp session belongs to the running event loop.
        if self._connection is None:
            self._connection = api.LiveKitAPI(
                self._api_url,
                self._key,
                self._secret,
                # The workflow retries; calling CreateDispatch twice would start two agents.
                failover=False,
            )
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
        async with livekit_call("list its rooms", self._api_url):
            found = await self._api.room.list_rooms(
                room_protocol.ListRoomsRequest(names=names or [])
            )
        return [_room(room) for room in found.rooms]

    @override
    async def exists(self, room: str) -> bool:
        try:
            # Every room has at least one: LiveKit's own, of unnamed agents.
            if await self._all_dispatches(room):
                return True
        except Unavailable:
            # No answer from the node.
            return await self._listed(room)
        return await self._listed(room)

    @override
    async def delete(self, room: str) -> bool:
        try:
            return await self._delete(room)
        except LiveKitLostNode:
            # This changes nothing but assigns the room a node again.
            await self.create(room, "", 0, 0)
            return await self._delete(room)

    async def _delete(self, room: str) -> bool:
        try:
            async with livekit_call("delete a room", self._api_url):
                await self._api.room.delete_room(room_protocol.DeleteRoomRequest(room=room))
        except LiveKitHasNone:
            return False
        return True

    @override
    async def participants(self, room: str) -> list[Participant]:
        request = room_protocol.ListParticipantsRequest(room=room)
        try:
            async with livekit_call("list a room's participants", self._api_url):
                found = await self._api.room.list_participants(request)
        except LiveKitHasNone:
            return []
        return [_participant(info) for info in found.participants]

    @override
    async def remove_participant(self, room: str, identity: str) -> bool:
        request = room_protocol.RoomParticipantIdentity(room=room, identity=identity)
        try:
            async with livekit_call("remove a participant", self._api_url):
                await self._api.room.remove_participant(request)
        except LiveKitHasNone:
            return False
        return True

    @override
    async def dispatch(self, room: str, agent_name: str, metadata: str) -> str:
        request = dispatch_protocol.CreateAgentDispatchRequest(
            room=room, agent_name=agent_name, metadata=metadata
        )
        async with self._call_in(room, "dispatch an agent"):
            created = await self._api.agent_dispatch.create_dispatch(request)
        return created.id

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
        try:
            async with self._call_in(room, "delete a dispatch"):
                await self._api.agent_dispatch.delete_dispatch(dispatch_id, room)
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
        async with self._call_in(room, "send data into a room"):
            await self._api.room.send_data(request)

    @asynccontextmanager
    async def _call_in(self, room: str, operation: str) -> AsyncGenerator[None]:
        """As `livekit_call`, for requests to the room's node; `NotFound` if there is no room."""
        try:
            async with livekit_call(operation, self._api_url):
                yield
        except LiveKitHasNone:
            raise _no_such_room(room) from None
        except Unavailable:
            if await self._listed(room):
                raise
            raise _no_such_room(room) from None

    async def _all_dispatches(self, room: str) -> list[dispatch_protocol.AgentDispatch]:
        try:
            async with livekit_call("list a room's dispatches", self._api_url):
                return list(await self._api.agent_dispatch.list_dispatch(room))
        except LiveKitHasNone:
            return []

    async def _listed(self, room: str) -> bool:
        return bool(await self.list_rooms([room]))


def _no_such_room(room: str) -> NotFound:
    return NotFound(f"LiveKit has no room {room!r}", field="room")


def _room(room: models.Room) -> Room:
    return Room(
        name=room.name, sid=room.sid, metadata=room.metadata, participants=room.num_participants
    )


def _dispatch(entry: dispatch_protocol.AgentDispatch) -> Dispatch:
    agents = (job.state.participant_identity or f"agent-{job.id}" for job in entry.state.jobs)
    return Dispatch(id=entry.id, metadata=entry.metadata, agents=frozenset(agents))


def _participant(info: models.ParticipantInfo) -> Participant:
    return Participant(
        identity=info.identity,
        sid=info.sid,
        kind=participant_kind(info.kind),
        active=info.state == models.ParticipantInfo.ACTIVE,
        attributes=dict(info.attributes),
    )
