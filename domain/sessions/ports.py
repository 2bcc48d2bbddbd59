"""What sessions need from the outside world: LiveKit's rooms, Temporal's sessions, records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel

from domain.ids import SessionKey
from domain.paging import Page
from domain.sessions.listing import SessionFilter, SessionPage
from domain.sessions.messages import (
    AgentFailed,
    AgentLost,
    AgentReady,
    EndRequest,
    Extend,
    Finalise,
    ParticipantChanged,
    PlaceChanged,
    ReadyAnswer,
    Redispatch,
    ReportReceived,
)
from domain.sessions.session import SessionInput, SessionStatus, Stage
from domain.sessions.webhook_receipts import WebhookReceipts

Operation = Extend | Redispatch | Finalise
"""What an operator may do to an open session."""
Signal = EndRequest | AgentFailed | AgentLost | ReportReceived | ParticipantChanged | PlaceChanged
"""What a session is told, whether or not a worker runs."""


@dataclass(frozen=True)
class Started:
    """A session that has its workflow.

    Attributes:
        input: what its workflow runs.
        status: what the session said; None if it had not reached the stage in time.
        closed: the session was started before and is over.
        again: the session was started before, by the same request.
    """

    input: SessionInput
    status: SessionStatus | None
    closed: bool = False
    again: bool = False


class SessionInputs(Protocol):
    """What sessions were started with."""

    async def input(self, key: SessionKey) -> SessionInput:
        """The input of a session's workflow.

        Raises:
            NotFound: Temporal does not know the session.
            Unavailable: Temporal does not answer.
        """
        ...


class Sessions(SessionInputs, Protocol):
    """The workflows of sessions: start them, ask them, tell them. Every call is bounded."""

    async def start(self, request: SessionInput, stage: Stage, seconds: float) -> Started:
        """Start a session, or find the one that the same request started before.

        Args:
            request: the complete input.
            stage: how far to wait; `accepted` returns as soon as the workflow is durable.
            seconds: how long to wait for the stage.

        Raises:
            IdempotencyMismatch: this session id was used for another request.
            Unavailable: Temporal is down; nothing was started, or a retry will find it.
        """
        ...

    async def find(self, key: SessionKey, digest: str, stage: Stage, seconds: float) -> Started:
        """The session that the same request, by its digest, started before.

        Raises:
            NotFound: Temporal knows no session under this id.
            IdempotencyMismatch: another request started it.
            Unavailable: Temporal is down.
        """
        ...

    async def status(self, key: SessionKey) -> SessionStatus:
        """What the session says of itself.

        Raises:
            NotFound: Temporal knows no such session (any more).
            Unavailable: Temporal is down, or no worker answers.
        """
        ...

    async def claim(self, key: SessionKey, claim: AgentReady) -> ReadyAnswer:
        """An agent's claim of an attempt.

        Raises:
            StaleAttempt: it is refused; the agent has to leave.
            Unavailable: no worker answered; the agent should ask again.
        """
        ...

    async def signal(self, key: SessionKey, message: Signal) -> bool:
        """Send a signal; False if the session is closed or unknown, which is final.

        Raises:
            Unavailable: Temporal is down.
        """
        ...

    async def operate(
        self, key: SessionKey, operation: Operation, update_id: str | None
    ) -> SessionStatus:
        """What an operator does to an open session; the same update id does it once.

        Raises:
            NotFound: there is no such session, or it is closed.
            Conflict: the session is not in a state for it, or was changed too often.
            NoCapacity: a new agent would find no agent server with a free place.
            TooManyRequests: other changes of the session are being made right now.
            Unavailable: Temporal is down, or no worker answers.
        """
        ...

    async def exists(self, key: SessionKey) -> bool:
        """Whether Temporal knows the session, open or closed."""
        ...

    async def is_open(self, key: SessionKey) -> bool:
        """Whether the session's workflow is running."""
        ...

    async def find_by_room(self, org: str, livekit_room: str) -> SessionKey | None:
        """The newest session of a room; may be seconds behind the truth."""
        ...

    async def pollers(self) -> int:
        """How many workers poll for workflow tasks.

        Raises:
            Unavailable: Temporal is down.
        """
        ...

    async def now(self) -> datetime:
        """Temporal's time, which sessions go by; this machine's if it is not known."""
        ...

    async def probe(self) -> None:
        """Return if Temporal's database can be read and written.

        Raises:
            Unavailable: it cannot, or Temporal is down.
        """
        ...


class Participant(BaseModel):
    """A participant as LiveKit lists it."""

    identity: str
    sid: str
    kind: str
    """`agent`, `standard`, `sip`, `egress`, `ingress`, `connector`, `bridge` or another one."""
    active: bool
    connecting: bool = False
    """It joins, or joins again: LiveKit lists it before it is active."""
    attributes: dict[str, str] = {}


NEVER_CALLERS = frozenset({"agent", "egress", "ingress"})
"""Kinds of participants that are no callers; every other one, of a newer LiveKit too, may be."""


ON_BEHALF = "lk.publish_on_behalf"
"""LiveKit's attribute of a participant that speaks for another one."""


class Dispatch(BaseModel):
    """A dispatch as LiveKit lists it."""

    id: str
    agent_name: str
    metadata: str
    agents: frozenset[str] = frozenset()
    """Identities of the participants that run its jobs. LiveKit may list them seconds after they
    have joined."""


class Room(BaseModel):
    """A room as LiveKit lists it."""

    name: str
    sid: str
    metadata: str
    participants: int


class Rooms(Protocol):
    """LiveKit's rooms, dispatches and participants. Rooms are named by LiveKit's full name."""

    @property
    def api_url(self) -> str:
        """The http(s) URL that server calls go to."""
        ...

    async def create(
        self, room: str, metadata: str, empty_timeout: int, departure_timeout: int
    ) -> Room:
        """Create the room, or return the existing one with *its* metadata; times in seconds."""
        ...

    async def list_rooms(self, names: Sequence[str] | None = None) -> list[Room]:
        """All rooms, or those of these names, as far as LiveKit lists them.

        A room that is missing may be alive all the same: `exists` asks where it is held.
        """
        ...

    async def exists(self, room: str) -> bool:
        """Whether the room is there, according to the node that holds it, or to a list.

        False proves nothing by itself: the way to the node may have been broken. Ask again.
        """
        ...

    async def delete(self, room: str) -> bool:
        """Delete the room; False if there was none."""
        ...

    async def participants(self, room: str) -> list[Participant]:
        """Who is in the room; empty if there is no such room."""
        ...

    async def remove_participant(self, room: str, identity: str) -> bool:
        """Remove a participant; False if it was not there. An agent's end hook still runs."""
        ...

    async def dispatch(self, room: str, agent_name: str, metadata: str) -> str:
        """Ask for an agent; returns the dispatch id. Never retried by the client."""
        ...

    async def dispatches(self, room: str) -> list[Dispatch]:
        """The room's dispatches by name; empty if there is no such room."""
        ...

    async def delete_dispatch(self, room: str, dispatch_id: str) -> bool:
        """Delete a dispatch; False if there was none. Does not stop a running agent."""
        ...

    async def send_data(
        self, room: str, topic: str, data: bytes, identities: Sequence[str]
    ) -> None:
        """Send a reliable data packet to these participants."""
        ...


class SessionArchive(Protocol):
    """The readable projection of sessions."""

    async def record(self, status: SessionStatus) -> None:
        """Store a status unless a newer version of it is stored."""
        ...

    async def get(self, key: SessionKey) -> SessionStatus | None:
        """The last stored status."""
        ...


class SessionRecords(SessionArchive, Protocol):
    """The records of all orgs' sessions, for the reaper alone."""

    async def not_closed(self, limit: int, after: str | None = None) -> Page[SessionStatus]:
        """Records that are not terminal, in an order that stays; with `after`, those behind it."""
        ...


class SessionDirectory(Protocol):
    """The sessions as Temporal, the truth of their life, knows them."""

    async def live_sessions(self) -> dict[SessionKey, str]:
        """The sessions with a call in progress, with LiveKit's names of their rooms."""
        ...

    async def is_open(self, key: SessionKey) -> bool:
        """Whether the session's workflow is running."""
        ...

    async def closed_from_outside(self) -> list[SessionStatus]:
        """What is known of the sessions that were terminated, or failed, during the last day."""
        ...

    async def tell_room_is_gone(self, key: SessionKey) -> None:
        """Tell a session that LiveKit has its room no more."""
        ...


class SessionHistory(Protocol):
    """The records of sessions that are over, for lists."""

    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        """The org's closed sessions, the newest first; `after` is an earlier page's `next`."""
        ...


class SessionListing(Protocol):
    """Temporal's list of sessions; it may be a moment behind the truth."""

    async def open_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        """The org's open sessions, the newest first; `after` is an earlier page's `next`."""
        ...

    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        """The org's sessions that ended within Temporal's retention, the last ended first."""
        ...


class Installation(Protocol):
    """This installation among those that may share a LiveKit."""

    async def id(self) -> str:
        """Its id, which stands in the metadata of its rooms."""
        ...


class ReceiptStore(Protocol):
    """Keeps the receipts for all API processes."""

    async def put(self, receipts: WebhookReceipts) -> None:
        """Keep the times that are given, beside the others that are known."""
        ...

    async def get(self) -> WebhookReceipts:
        """What is known."""
        ...
