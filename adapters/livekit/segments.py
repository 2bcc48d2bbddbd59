"""Segments of speech from LiveKit's transcription streams, and who speaks in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from domain.transcripts.listening import Heard
from domain.transcripts.transcript import MAX_TURN_CHARS, Role

SEGMENT, TRACK = "lk.segment_id", "lk.transcribed_track_id"
FINAL = "lk.transcription_final"
MAX_KEPT = 5_000
"""Tracks, and segments, that are remembered. A call has fewer, unless somebody floods the room."""

Attributes = Mapping[str, str]


class Speakers:
    """Tells the agent's words from the caller's."""

    def __init__(self, agent: str) -> None:
        self._agents = {agent}
        self._owners: dict[str, str] = {}
        """The participant of each track, also after it has left."""

    def joined(self, identity: str, *, is_agent: bool) -> None:
        """Register a participant."""
        if is_agent:
            self._agents.add(identity)
        else:
            self._agents.discard(identity)

    def published(self, track: str, owner: str) -> None:
        """Register a participant's track."""
        self._owners[track] = owner
        _forget_oldest(self._owners)

    def role(self, sender: str, track: str | None) -> Role:
        """Whose words a stream carries: its track decides, its sender is the fallback.

        LiveKit lets only agents send for others. A caller's stream is the caller's, even if it
        names the agent's track.
        """
        speaker = self._owners.get(track or "", sender) if sender in self._agents else sender
        return Role.ASSISTANT if speaker in self._agents else Role.USER


class _Key(NamedTuple):
    """What identifies a segment: a caller may use the id of an agent's segment."""

    sender: str
    segment: str


@dataclass(eq=False)
class Stream:
    """An open stream. Its id is no key: a caller may use that of an agent's stream."""

    key: _Key
    attributes: dict[str, str]
    text: str = ""

    def add(self, text: str) -> None:
        """Add text, up to the limit of a turn."""
        self.text = (self.text + text)[:MAX_TURN_CHARS]


class Segments:
    """Assembles segments from streams.

    A caller's words come in one stream for each interim result and one for the final result. An
    agent's words come in one stream, whose end is the end of the segment: the Node SDK never marks
    it as final.
    """

    def __init__(self, speakers: Speakers) -> None:
        self._speakers = speakers
        self._open: dict[Stream, None] = {}
        self._began: dict[_Key, datetime] = {}
        """When the first stream of each segment began."""
        self._finished: dict[tuple[_Key, Role], int] = {}
        """The hash of each segment's text."""

    def begin(self, stream_id: str, sender: str, attributes: Attributes, at: datetime) -> Stream:
        """Begin a stream."""
        key = _Key(sender, attributes.get(SEGMENT) or stream_id)
        stream = Stream(key, dict(attributes))
        self._open[stream] = None
        self._began.setdefault(key, at)
        _forget_oldest(self._began)
        return stream

    def end(
        self, stream: Stream, attributes: Attributes, at: datetime, *, cut: bool
    ) -> Heard | None:
        """End a stream, which may add attributes; returns the segment if that finishes it.

        A segment that is sent again with another text is returned again.
        """
        del self._open[stream]
        stream.attributes.update(attributes)
        # An interim result is a guess, and so is one that was cut off.
        guess = cut or stream.attributes.get(FINAL) == "false"
        if guess and self._role(stream) is Role.USER:
            return None
        return self._finish(stream, at, interrupted=cut)

    def unfinished(self, at: datetime) -> list[Heard]:
        """The agent's segments that were cut off by its leaving."""
        streams = [stream for stream in self._open if self._role(stream) is Role.ASSISTANT]
        cut = [self._finish(stream, at, interrupted=True) for stream in streams]
        return [segment for segment in cut if segment]

    def _role(self, stream: Stream) -> Role:
        return self._speakers.role(stream.key.sender, stream.attributes.get(TRACK))

    def _finish(self, stream: Stream, at: datetime, *, interrupted: bool) -> Heard | None:
        key, role, text = stream.key, self._role(stream), hash(stream.text)
        if not stream.text.strip() or self._finished.get((key, role)) == text:
            return None
        self._finished[key, role] = text
        _forget_oldest(self._finished)
        return Heard(
            sender=key.sender,
            segment=key.segment,
            role=role,
            text=stream.text,
            began_at=self._began.get(key, at),
            ended_at=at,
            interrupted=interrupted,
        )


def _forget_oldest(entries: dict[Any, Any]) -> None:
    if len(entries) > MAX_KEPT:
        del entries[next(iter(entries))]
