"""Ports: what Everline needs from the outside world, as Protocols that adapters fulfil.

All calls may raise `domain.errors.Unavailable` when the other side is away; implementations have a
time limit of their own and never retry in silence (retrying is the workflow's business).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel

from domain.agent_servers import AgentServer, Heartbeat
from domain.analysis import AnalysisPlan, Findings
from domain.api_keys import ALL_SCOPES, ApiKeyRecord, CreatedKey, NewKeyRequest, Scope
from domain.ids import SessionKey
from domain.listening import Heard
from domain.messages import AgentLost
from domain.recording import CallRecording
from domain.saved_agent import AgentKey, SavedAgent
from domain.session import SessionStatus
from domain.summary import Summary
from domain.transcript import AgentReport, KeptReports, TranscriptHeader, Turn
from domain.walking import Part


class Participant(BaseModel):
    """A participant as LiveKit lists it."""

    identity: str
    sid: str
    kind: str
    """`agent`, `standard`, `sip`, `egress`, `ingress`, `connector` or `bridge`."""
    active: bool
    attributes: dict[str, str] = {}


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
        """All rooms, or those of these names, as far as LiveKit's books have them.

        A room that is missing may be alive all the same: `exists` asks where it is held.
        """
        ...

    async def exists(self, room: str) -> bool:
        """Whether the room is there, by the word of the node that holds it or by a list.

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

    async def dispatches(self, room: str) -> dict[str, str]:
        """Dispatch ids with their metadata; empty if there is no such room."""
        ...

    async def delete_dispatch(self, room: str, dispatch_id: str) -> bool:
        """Delete a dispatch; False if there was none. Does not stop a running agent."""
        ...

    async def send_data(
        self, room: str, topic: str, data: bytes, identities: Sequence[str]
    ) -> None:
        """Send a reliable data packet to these participants."""
        ...


class Installation(Protocol):
    """This installation among those that may share a LiveKit."""

    async def id(self) -> str:
        """Its id, which stands in the metadata of its rooms."""
        ...


class RoomListener(Protocol):
    """Hears what is said in rooms of agents that send no turns; silent, hidden, counted nowhere."""

    def listen(
        self, room: str, identity: str, agent: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Join under `identity`; the segments come until the agent or the room is gone."""
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

    async def not_closed(self, limit: int, after: str | None = None) -> Part[SessionStatus]:
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


class TranscriptArchive(Protocol):
    """Turns, reports, transcript headers; writes are acknowledged by a majority, journaled."""

    async def add_turns(self, key: SessionKey, turns: Sequence[Turn]) -> int | None:
        """Store new turns and complete those that are stored; returns how many are new.

        None if the transcript was deleted: what comes after that is dropped.
        """
        ...

    async def turns(self, key: SessionKey) -> list[Turn]:
        """All turns of a session in transcript order."""
        ...

    async def add_report(self, key: SessionKey, report: AgentReport) -> bool:
        """Keep a report as it came; False if the same one is kept already."""
        ...

    async def report_ids(self, key: SessionKey) -> frozenset[str]:
        """What tells the kept reports apart, also those that cannot be read."""
        ...

    async def kept_reports(self, key: SessionKey) -> KeptReports:
        """All reports of a session, also those that cannot be read."""
        ...

    async def reports(self, key: SessionKey) -> list[AgentReport]:
        """The reports that can be read, as they came, by attempt and then by their end."""
        ...

    async def put_recording(self, key: SessionKey, recording: CallRecording) -> None:
        """Store how far a recording is; one that is stored stays so."""
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """What is known of a session's recordings beside the reports."""
        ...

    async def drop_heard(self, key: SessionKey, attempt: int) -> int:
        """Delete what a listener heard in an attempt: its agent's own report has it. How many."""
        ...

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The transcript's header; None while it is not sealed."""
        ...

    async def put_header(self, header: TranscriptHeader) -> None:
        """Store the header; `sealed_at` of an existing one stays."""
        ...


class SummaryArchive(Protocol):
    """The summaries."""

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session."""
        ...

    async def put(self, summary: Summary) -> None:
        """Store the summary record; there is one writer per session."""
        ...


class Summariser(Protocol):
    """Writes a summary of a transcript. The transcript is untrusted input."""

    @property
    def name(self) -> str:
        """For the summary's record, for instance `extractive`."""
        ...

    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        """A summary in a few sentences; `prompt` says what it should look at.

        Raises:
            Unavailable: worth a retry.
            InvalidInput: never going to work, with the reason.
        """
        ...


class Analyst(Protocol):
    """Finds out what a plan asks for. The transcript is untrusted input."""

    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        """What the plan asks for; the data fits its schema.

        Raises:
            Unavailable: worth a retry.
            InvalidInput: never going to work, with the reason.
        """
        ...


class AgentServers(Protocol):
    """What is known of agent servers by their heartbeats."""

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        """Store the last heartbeat of a server; returns those of its jobs that are condemned."""
        ...

    async def seen_since(self, since: datetime) -> list[AgentServer]:
        """The servers heard of since then."""
        ...

    async def prove_path(self, at: datetime) -> None:
        """Store something as a heartbeat is stored, to see whether that can be done."""
        ...


class SignsOfLife(Protocol):
    """The heartbeats as the watchdog looks at them."""

    async def last_heartbeats(self) -> dict[str, datetime]:
        """When each server was last heard that is not dealt with, by their ids."""
        ...

    async def server(self, server_id: str) -> AgentServer | None:
        """One server as it was last heard."""
        ...

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        """Leave the server out until it is heard again; nothing if it was heard meanwhile."""
        ...

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        """Have the server told to stop these jobs, if it is ever heard again."""
        ...


class CallerSigns(Protocol):
    """What agents say of their callers, in the heartbeats of their servers."""

    async def caller_seen(self, key: SessionKey) -> str | None:
        """The caller's connection as in `JobTick.caller`; None if no living agent server says."""
        ...


class HeartbeatPath(Protocol):
    """The way that heartbeats take: agents' address of the API, the API, MongoDB."""

    async def prove(self) -> None:
        """Return if a heartbeat would arrive now; else `Unavailable`."""
        ...


class Lease(Protocol):
    """What only one of several processes may do at a time."""

    async def hold(self) -> bool:
        """Take or keep the lease; to be called more often than it lasts."""
        ...


class AgentLosses(Protocol):
    """Where sessions are told that their agents are lost."""

    async def tell_agent_is_lost(self, key: SessionKey, loss: AgentLost) -> None:
        """Tell a session; one that is closed needs no telling."""
        ...


class Principal(BaseModel):
    """Who makes a request, and for which org."""

    org: str
    user_id: str | None = None
    is_admin: bool = False
    scopes: frozenset[Scope] = ALL_SCOPES


class ApiKeys(Protocol):
    """Whom API keys speak for: Everline's own keys, or an account service."""

    async def resolve(self, key: str) -> Principal | None:
        """Whom a key speaks for; None if it is not known.

        Raises:
            Unavailable: that cannot be told now; never a guess.
        """
        ...


class ApiKeyStore(Protocol):
    """The installation's own keys, stored as hashes."""

    async def create(self, org: str, request: NewKeyRequest) -> CreatedKey:
        """Make a key for an org; the answer is the only place where it can be read."""
        ...

    async def list_keys(self, org: str) -> list[ApiKeyRecord]:
        """The org's keys, the newest first; revoked and expired ones too."""
        ...

    async def revoke(self, org: str, prefix: str) -> bool:
        """End a key for good, from the next request on; False if the org has no such key."""
        ...


class SavedAgents(Protocol):
    """The saved agents of all orgs, each with its versions; no call works without an org."""

    async def insert(self, agent: SavedAgent) -> None:
        """Store the first version of a new agent."""
        ...

    async def get(self, key: AgentKey) -> SavedAgent | None:
        """The current version."""
        ...

    async def to_be_replaced(self, key: AgentKey) -> SavedAgent | None:
        """The current version, without its configuration if that cannot be read."""
        ...

    async def list_agents(self, org: str, limit: int, before: str | None) -> list[SavedAgent]:
        """The org's agents, the newest first; with `before`, those older than that id."""
        ...

    async def replace(self, agent: SavedAgent, expected: int) -> bool:
        """Store a version if `expected` is the current one, which is kept; False if it is not."""
        ...

    async def delete(self, key: AgentKey, expected: int | None, at: datetime) -> bool:
        """Delete an agent with all its versions; False if there is none, or not of this version."""
        ...

    async def get_version(self, key: AgentKey, version: int) -> SavedAgent | None:
        """One version, current or earlier."""
        ...

    async def list_versions(
        self, key: AgentKey, limit: int, before: int | None
    ) -> list[SavedAgent]:
        """The versions, the current one first; with `before`, those below that number."""
        ...
