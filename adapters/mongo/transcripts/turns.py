"""How a turn is written to its document, and read from it.

A turn can arrive more than once: streamed, streamed again with other words, and in the report. Key,
sequence number, speaker and time keep their first value. A later text of the same agent replaces
the earlier one, but a streamed text never replaces a reported one, nor an empty text any. Metrics
and speaking times are completed or replaced, never erased; `interrupted` stays true.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bson import BSON
from bson.codec_options import CodecOptions

from adapters.mongo.documents import Document, document_id, storable, to_json
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Change
from adapters.mongo.transcripts.totals import Growth
from domain.ids import SessionKey
from domain.json_model import reader
from domain.transcripts.transcript import StoredTurn, Turn, ordered

_STORED_NOW: Document = {"$currentDate": {"stored_at": True}}
"""MongoDB's own clock, which several API processes share."""
_AS_READ: CodecOptions[Document] = CodecOptions(tz_aware=True)


@dataclass(frozen=True)
class TurnWrite:
    """A turn to store."""

    id: str
    first: Document
    """Fields that only a new turn gets."""
    completing: Document
    """Fields that every delivery sets."""
    guard: Document
    """Which stored turns its text may revise."""

    def then(self, later: "TurnWrite") -> "TurnWrite":
        """One write for both: the later text counts, as if each had been stored in its turn."""
        unordered = later.first["seq"] is None and self.first["seq"] is not None
        text = self.first["text"] if unordered else later.first["text"] or self.first["text"]
        return replace(
            later if not unordered else self,
            first=self.first | {"text": text},
            completing=self.completing | later.completing,
        )

    def grows(self, known: Document | None) -> Growth:
        """What it adds to the session, given the stored document as it was read just now."""
        after = (known or self.first) | self.completing
        if self._may_revise(known):
            after |= {"text": self.first["text"]}
        return Growth(int(known is None), _size(after) - (_size(known) if known else 0))

    def changes_something(self, known: Document | None) -> bool:
        """Whether there is anything to write."""
        return self._may_revise(known) or known is None or known | self.completing != known

    def changes(self, known: Document | None, position: int) -> Iterator[Change]:
        """The write with this number of the session."""
        one, text = {"_id": self.id}, self.first["text"]
        if self._may_revise(known):
            yield Change(
                {**one, **self.guard, "text": {"$ne": text}},
                {"$set": {"text": text, "position": position}, "$inc": {"revision": 1}}
                | _STORED_NOW,
            )
        completing = {"$set": {**self.completing, "position": position}}
        if known is None:
            first = {k: v for k, v in self.first.items() if k not in self.completing}
            change = {"$setOnInsert": first, **completing, **_STORED_NOW}
            yield Change(one, change, upsert=True)
        elif known | self.completing != known:
            yield Change(one, completing)

    def _may_revise(self, known: Document | None) -> bool:
        text = self.first["text"]
        if known is None:
            # Another request may have stored it since.
            return bool(text)
        final = "reported" in self.guard and known.get("reported")
        of_another = "seq" in self.guard and known.get("seq") is not None
        return bool(text) and known.get("text") != text and not (final or of_another)


def write_of(key: SessionKey, turn: Turn, *, reported: bool) -> TurnWrite:
    """The write of a turn.

    Raises:
        InvalidInput: it cannot be stored.
    """
    what = f"turn {turn.attempt}/{turn.item_id!r}"
    completing: Document = turn.model_dump(
        include={"started_speaking_at", "stopped_speaking_at", "agent_id"}, exclude_none=True
    )
    if turn.interrupted:
        completing["interrupted"] = True
    if turn.metrics:
        completing["metrics"] = to_json(turn.metrics, what)
    if reported and turn.text:
        completing["reported"] = True
    first: Document = {
        **turn.model_dump(include={"attempt", "item_id", "seq", "role", "text", "created_at"}),
        "interrupted": False,
        "metrics": "{}",
    }
    storable(first | completing, what)
    guard: Document = {} if reported else {"reported": {"$ne": True}}
    if turn.seq is None:
        # Agents number their turns: an unnumbered one comes from another author.
        guard["seq"] = None
    return TurnWrite(
        id=document_id(*key, turn.attempt, turn.item_id),
        first=first,
        # As MongoDB answers it, which cuts times to milliseconds.
        completing=BSON.encode(completing).decode(_AS_READ),
        guard=guard,
    )


def _size(document: Document) -> int:
    """The bytes that count towards the session's limit."""
    return len(document.get("text", "").encode()) + len(document.get("metrics", ""))


def in_order(stored: list[StoredTurn]) -> list[StoredTurn]:
    """Stored turns in transcript order."""
    found = {(one.turn.attempt, one.turn.item_id): one for one in stored}
    return [found[turn.attempt, turn.item_id] for turn in ordered(one.turn for one in stored)]


def _stored(document: Document) -> StoredTurn:
    turn = reader(Turn)(document | {"metrics": json.loads(document["metrics"])})
    return StoredTurn(
        turn,
        document.get("stored_at"),
        document.get("revision", 0),
        document.get("replaced", False),
        document.get("position", 0),
    )


TURN = StoredModel("turn", _stored)
