"""A hidden participant that reads LiveKit's transcription streams.

Agents built with LiveKit's SDKs send both sides' speech as text streams on `lk.transcription`. The
caller's text arrives in the caller's name, or in the agent's with the caller's track, repeated
until it is final; the agent's own is one growing stream per segment.
"""

# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog
from livekit import api, rtc
from typing_extensions import override

from adapters.livekit.segments import Segments, Speakers
from adapters.livekit.tokens import signed
from adapters.settings import LiveKitSettings
from domain.errors import Unavailable
from domain.transcripts.listening import Heard
from domain.transcripts.ports import RoomListener

log = structlog.get_logger()

TOPIC = "lk.transcription"
CONNECT_SECONDS = 10.0
FINISH_SECONDS = 2.0
"""How long open streams may take to finish after the agent leaves."""
MOST_STREAMS = 100
"""Of one sender that are read at the same time; a caller who floods the room cannot keep the
agent's words from being heard."""
TOKEN_LIFE = timedelta(minutes=5)
"""How long the token can be used to join; a running connection outlives it."""
_ENDS = (
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
    rtc.DisconnectReason.DUPLICATE_IDENTITY,
)
"""Disconnects after which the room has nothing more to transcribe."""


class LiveKitListener(RoomListener):
    """Joins rooms of one LiveKit server as a hidden participant that LiveKit does not count."""

    def __init__(self, settings: LiveKitSettings) -> None:
        self._url = settings.livekit_url
        self._key = settings.livekit_api_key
        self._secret = settings.livekit_api_secret.get_secret_value()

    @override
    @asynccontextmanager
    async def listen(
        self, room: str, identity: str, agent: str
    ) -> AsyncGenerator[AsyncIterator[Heard]]:
        connection = rtc.Room()
        transcriber = _Transcriber(connection, agent)
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect(self._url, self._token(room, identity), options)
        except (TimeoutError, rtc.ConnectError) as error:
            raise Unavailable(f"the listener could not join {room}: {error}") from None
        try:
            transcriber.start()
            yield transcriber.heard()
        finally:
            transcriber.close()
            await connection.disconnect()

    def _token(self, room: str, identity: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            hidden=True,
            # LiveKit closes a room even with recorders in it, and agents ignore them.
            recorder=True,
            can_publish=False,
            can_publish_data=False,
            can_subscribe=True,
        )
        token = api.AccessToken(self._key, self._secret).with_identity(identity)
        return signed(token.with_kind("egress").with_grants(grants).with_ttl(TOKEN_LIFE))


class _Transcriber:
    """Collects the segments of one room."""

    def __init__(self, room: rtc.Room, agent: str) -> None:
        self._room = room
        self._agent = agent
        self._speakers = Speakers(agent)
        self._segments = Segments(self._speakers)
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._reading: dict[asyncio.Task[None], str] = {}
        """Who has sent the streams that are being read."""
        self._ending: asyncio.Task[None] | None = None
        self._lost: str | None = None
        room.register_text_stream_handler(TOPIC, self._stream)
        room.on("participant_connected", self._connected)
        room.on("track_published", self._published)
        room.on("participant_disconnected", self._left)
        room.on("disconnected", self._disconnected)

    def start(self) -> None:
        """Register the participants present; finish at once if the agent has already left."""
        for participant in self._room.remote_participants.values():
            self._connected(participant)
        if self._agent not in self._room.remote_participants:
            self._end()

    async def heard(self) -> AsyncGenerator[Heard]:
        """The finished segments, each once."""
        while (segment := await self._heard.get()) is not None:
            yield segment
        if self._lost:
            raise Unavailable(self._lost)

    def close(self) -> None:
        """Stop transcribing."""
        for task in (*self._reading, *([self._ending] if self._ending else [])):
            task.cancel()

    def _connected(self, participant: rtc.RemoteParticipant) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        self._speakers.joined(participant.identity, is_agent=is_agent)
        for publication in participant.track_publications.values():
            self._published(publication, participant)

    def _published(
        self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._speakers.published(publication.sid, participant.identity)

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
            await asyncio.wait(self._reading, timeout=FINISH_SECONDS)
        for segment in self._segments.unfinished(datetime.now(UTC)):
            self._heard.put_nowait(segment)
        self._heard.put_nowait(None)

    def _stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if list(self._reading.values()).count(identity) >= MOST_STREAMS:
            log.warning("transcription stream ignored", sender=identity, open=MOST_STREAMS)
            reader.close()
            return
        task = asyncio.ensure_future(self._read(reader, identity))
        self._reading[task] = identity
        task.add_done_callback(self._reading.pop)

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        info = reader.info
        stream = self._segments.begin(
            info.stream_id, identity, info.attributes or {}, datetime.now(UTC)
        )
        cut = False
        try:
            async for chunk in reader:
                stream.add(chunk)
        except rtc.StreamError:
            cut = True
        # The end of a stream can add attributes.
        segment = self._segments.end(stream, info.attributes or {}, datetime.now(UTC), cut=cut)
        if segment is not None:
            self._heard.put_nowait(segment)
