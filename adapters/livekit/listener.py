"""A hidden participant that reads LiveKit's transcription streams, behind the port `RoomListener`.

Agents of LiveKit's SDKs send what both sides say as text streams on `lk.transcription`: the
caller's words in the caller's name, with the text so far again and again until it is final, and
their own as one stream a segment that grows while it is spoken.
"""

# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import structlog
from livekit import api, rtc
from typing_extensions import override

from adapters.settings import LiveKitSettings
from domain.errors import Unavailable
from domain.transcripts.listening import Heard
from domain.transcripts.ports import RoomListener
from domain.transcripts.transcript import Role

log = structlog.get_logger()

TOPIC = "lk.transcription"
SEGMENT, FINAL = "lk.segment_id", "lk.transcription_final"
CONNECT_SECONDS = 10.0
LAST_WORDS_SECONDS = 2.0
"""How long streams may still end by themselves when the agent has left."""
TOKEN_LIFE = timedelta(minutes=5)
"""Until when the token can be used to join; a running connection outlives it."""
_ENDS = (
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
    rtc.DisconnectReason.DUPLICATE_IDENTITY,
)
"""Disconnects after which there is nothing more to hear here."""


class LiveKitListener(RoomListener):
    """Joins rooms of one LiveKit server without being seen, heard or counted."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._url = url
        self._key = api_key
        self._secret = api_secret

    @classmethod
    def of(cls, settings: LiveKitSettings) -> Self:
        """A listener on the LiveKit server that the settings name."""
        secret = settings.livekit_api_secret.get_secret_value()
        return cls(settings.livekit_url, settings.livekit_api_key, secret)

    @override
    def listen(
        self, room: str, identity: str, agent: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        return self._listen(room, identity, agent)

    @asynccontextmanager
    async def _listen(
        self, room: str, identity: str, agent: str
    ) -> AsyncGenerator[AsyncIterator[Heard]]:
        connection = rtc.Room()
        ears = _Ears(connection, agent)
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect(self._url, self._token(room, identity), options)
        except (TimeoutError, rtc.ConnectError) as error:
            raise Unavailable(f"the listener could not join {room}: {error}") from None
        try:
            ears.look()
            yield ears.heard()
        finally:
            await ears.close()
            await connection.disconnect()

    def _token(self, room: str, identity: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            hidden=True,
            # LiveKit closes a room in spite of recorders, and agents do not answer to them.
            recorder=True,
            can_publish=False,
            can_publish_data=False,
            can_subscribe=True,
        )
        return (
            api.AccessToken(self._key, self._secret)
            .with_identity(identity)
            .with_kind("egress")
            .with_grants(grants)
            .with_ttl(TOKEN_LIFE)
            .to_jwt()
        )


class _Ears:
    """Collects the segments of one room."""

    def __init__(self, room: rtc.Room, agent: str) -> None:
        self._room = room
        self._agent = agent
        self._segments = Segments()
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._reading: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._lost: str | None = None
        self._agents = {agent}
        room.register_text_stream_handler(TOPIC, self._stream)
        room.on("participant_connected", self._connected)
        room.on("participant_disconnected", self._left)
        room.on("disconnected", self._disconnected)

    def look(self) -> None:
        """Take in who is there; an agent that has left already has nothing more to say."""
        for participant in self._room.remote_participants.values():
            self._connected(participant)
        if self._agent not in self._room.remote_participants:
            self._end()

    async def heard(self) -> AsyncGenerator[Heard]:
        """The segments, each once, as they are finished."""
        while (segment := await self._heard.get()) is not None:
            yield segment
        if self._lost:
            raise Unavailable(self._lost)

    async def close(self) -> None:
        """Stop listening."""
        for task in (*self._reading, *([self._ending] if self._ending else [])):
            task.cancel()

    def _connected(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self._agents.add(participant.identity)

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self._agent:
            self._end()

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if reason not in _ENDS:
            self._lost = f"the listener lost the room ({rtc.DisconnectReason.Name(reason)})"
        self._end()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._finish())

    async def _finish(self) -> None:
        if self._reading:
            await asyncio.wait(self._reading, timeout=LAST_WORDS_SECONDS)
        for segment in self._segments.unfinished():
            self._heard.put_nowait(segment)
        self._heard.put_nowait(None)

    def _stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        role = Role.ASSISTANT if identity in self._agents else Role.USER
        self._begin(self._read(reader, role))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, reader: rtc.TextStreamReader, role: Role) -> None:
        attributes = reader.info.attributes or {}
        segment = attributes.get(SEGMENT) or reader.info.stream_id
        self._segments.begin(segment, role, datetime.now(UTC))
        cut = False
        try:
            async for chunk in reader:
                self._segments.add(reader.info.stream_id, segment, chunk)
        except rtc.StreamError:
            cut = True
        # A stream's end can bring attributes of its own.
        final = (reader.info.attributes or {}).get(FINAL) == "true"
        whole = self._segments.end(segment, datetime.now(UTC), final=final and not cut)
        if whole is not None:
            self._heard.put_nowait(whole)


class Segments:
    """Puts segments together from streams; each is finished once."""

    def __init__(self) -> None:
        self._open: dict[str, Heard] = {}
        self._streams: dict[str, str] = {}
        """The stream whose text a segment has now: a later one replaces the earlier."""
        self._finished: set[str] = set()

    def begin(self, segment: str, role: Role, at: datetime) -> None:
        """A stream of a segment begins, the first one or a repetition."""
        if segment not in self._finished:
            known = segment[:150]
            self._open.setdefault(
                segment, Heard(segment=known, role=role, text="", began_at=at, ended_at=at)
            )

    def add(self, stream: str, segment: str, text: str) -> None:
        """Some text of a stream; another stream of the same segment begins it anew."""
        heard = self._open.get(segment)
        if heard is None:
            return
        if self._streams.get(segment) != stream:
            self._streams[segment] = stream
            heard.text = ""
        heard.text += text

    def end(self, segment: str, at: datetime, *, final: bool) -> Heard | None:
        """A stream has ended; the segment, if that finishes it."""
        heard = self._open.get(segment)
        if heard is None:
            return None
        heard.ended_at = at
        return self._finish(segment) if final else None

    def unfinished(self) -> list[Heard]:
        """What the agent was saying as it left; a caller's text that is not final is a guess."""
        left = [name for name, heard in self._open.items() if heard.role is Role.ASSISTANT]
        cut = [heard for name in left if (heard := self._finish(name))]
        return [heard.model_copy(update={"interrupted": True}) for heard in cut]

    def _finish(self, segment: str) -> Heard | None:
        heard = self._open.pop(segment)
        self._streams.pop(segment, None)
        self._finished.add(segment)
        return heard if heard.text.strip() else None
