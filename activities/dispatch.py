"""Dispatch an agent for one attempt, and remove the agents of earlier attempts."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from pydantic import BaseModel
from temporalio import activity

from domain.agents.config import AgentConfig
from domain.errors import InvalidInput, NotFound, Unavailable
from domain.ids import SessionKey
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from domain.sessions.dispatch_metadata import (
    MAX_METADATA_BYTES,
    EverlineMetadata,
    dispatch_metadata,
)
from domain.sessions.ports import Participant, Rooms, SessionInputs

log = structlog.get_logger()

TRIES_BEFORE_LOST = 3
"""So often a room has to be missing until it counts as lost: a Redis that restarts forgets its
list, and the way to the room's node is broken for a moment as well."""


class DispatchAgent(BaseModel):
    """An agent to dispatch; with its session's configuration, all that its metadata is made of."""

    org: str
    session_id: str
    livekit_room: str
    agent_name: str
    attempt: int
    config: AgentConfig | None = None
    """None: as in the session's input."""
    user_id: str | None
    caller_identity: str
    max_duration: float
    model: str | None = None
    voice: str | None = None
    token_expires: int
    """Unix time in seconds."""
    unanswered: bool = False
    undelivered_turn: str | None = None

    @property
    def key(self) -> SessionKey:
        """The session that the agent is for."""
        return SessionKey(self.org, self.session_id)


class RetractAttempts(BaseModel):
    """Delete every dispatch and remove every agent of the attempts up to this one."""

    org: str
    session_id: str
    livekit_room: str
    up_to_attempt: int


def attempt_of_metadata(metadata: str) -> tuple[str, int] | None:
    """Session id and attempt that a dispatch's metadata names; None if it is not one of ours."""
    try:
        content: dict[str, Any] = json.loads(metadata)
        return str(content["session_id"]), int(content["everline"]["attempt"])
    except (ValueError, TypeError, KeyError):
        return None


def owner_of_dispatch(metadata: str) -> SessionKey | None:
    """The session that a dispatch's metadata names; None if it is not one of ours."""
    try:
        content: dict[str, Any] = json.loads(metadata)
        return SessionKey(str(content["everline"]["org"]), str(content["session_id"]))
    except (ValueError, TypeError, KeyError):
        return None


def attempt_of(participant: Participant) -> int | None:
    """The attempt that an agent participant names; None for an external agent."""
    value = participant.attributes.get(ATTEMPT_ATTRIBUTE, "")
    return int(value) if value.isdecimal() else None


@dataclass
class JoinCounters:
    """How many agents this worker process has dispatched, and has then seen in their rooms or not.

    Its log has them; another worker of the same installation counts its own.
    """

    dispatched: int = 0
    joined: int = 0
    not_joined: int = 0
    not_joined_in_a_row: int = 0

    def count_joined(self) -> None:
        """An agent was seen in its room."""
        self.joined += 1
        self.not_joined_in_a_row = 0

    def count_not_joined(self) -> None:
        """An agent was dispatched, and did not join in time."""
        self.not_joined += 1
        self.not_joined_in_a_row += 1


class DispatchActivities:
    """Dispatching an agent, and removing it."""

    def __init__(
        self,
        rooms: Rooms,
        inputs: SessionInputs,
        callback_url: str,
        callback_secret: str,
        counters: JoinCounters | None = None,
    ) -> None:
        self._rooms = rooms
        self._inputs = inputs
        self._callback_url = callback_url
        self._callback_secret = callback_secret
        self._counters = counters or JoinCounters()

    @activity.defn
    async def dispatch_agent(self, order: DispatchAgent) -> str:
        """Dispatch once per attempt, also when a try timed out after LiveKit had accepted it.

        Returns:
            LiveKit's id of the dispatch.

        Raises:
            InvalidInput: the configuration is larger than LiveKit carries.
            NotFound: the room is gone, at several tries in a row.
            Unavailable: LiveKit does not answer, or seems to have no such room.
        """
        for dispatch in await self._rooms.dispatches(order.livekit_room):
            if attempt_of_metadata(dispatch.metadata) == (order.session_id, order.attempt):
                return dispatch.id
        # An older worker's order has it; it is not stored again with each attempt.
        config = order.config or await self._configuration(order.key)
        try:
            dispatch_id = await self._rooms.dispatch(
                order.livekit_room, order.agent_name, self._metadata(order, config)
            )
        except NotFound as error:
            if activity.info().attempt < TRIES_BEFORE_LOST:
                raise Unavailable(f"{error.message}, as it seems") from None
            raise
        self._counters.dispatched += 1
        log.info(
            "agent dispatched",
            session=order.session_id,
            room=order.livekit_room,
            agent_name=order.agent_name,
            attempt=order.attempt,
            dispatch=dispatch_id,
            url=self._rooms.api_url,
            counters=asdict(self._counters),
        )
        return dispatch_id

    async def _configuration(self, key: SessionKey) -> AgentConfig:
        try:
            return (await self._inputs.input(key)).config
        except NotFound as error:  # by a replica that is behind; the session itself asks
            raise Unavailable(error.message) from None

    def _metadata(self, order: DispatchAgent, config: AgentConfig) -> str:
        claims = CallbackClaims(
            org=order.org,
            session_id=order.session_id,
            attempt=order.attempt,
            expires=order.token_expires,
        )
        everline = EverlineMetadata(
            org=order.org,
            attempt=order.attempt,
            callback_url=self._callback_url,
            callback_token=callback_token.mint(self._callback_secret, claims),
            caller_identity=order.caller_identity,
            max_duration=order.max_duration,
            unanswered=order.unanswered,
            undelivered_turn=order.undelivered_turn,
        )
        metadata = dispatch_metadata(
            config,
            order.key,
            order.user_id,
            everline,
            model=order.model,
            voice=order.voice,
        )
        text = metadata.model_dump_json(exclude_none=True)
        size = len(text.encode())
        if size > MAX_METADATA_BYTES:
            raise InvalidInput(
                f"the agent's configuration is {size} bytes, LiveKit carries {MAX_METADATA_BYTES}",
                field="agentConfig",
                cure="shorten the prompt or move its contents into a knowledge base",
            )
        return text

    @activity.defn
    async def retract_attempts(self, order: RetractAttempts) -> list[str]:
        """Delete stale dispatches and remove stale agents; returns the identities removed.

        Deleting a dispatch does not stop a running agent; removing its participant does. That also
        clears what LiveKit still lists for 20 s after an agent died.
        """
        room = order.livekit_room
        for dispatch in await self._rooms.dispatches(room):
            named = attempt_of_metadata(dispatch.metadata)
            if named and named[0] == order.session_id and named[1] <= order.up_to_attempt:
                await self._rooms.delete_dispatch(room, dispatch.id)
        removed: list[str] = []
        for participant in await self._rooms.participants(room):
            attempt = attempt_of(participant)
            stale = attempt is None or attempt <= order.up_to_attempt
            if participant.kind == "agent" and stale:
                await self._rooms.remove_participant(room, participant.identity)
                removed.append(participant.identity)
        return removed
