"""Callers that follow a script whatever breaks around them, and write down what they saw."""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from livekit import rtc

from domain.ids import SessionKey
from domain.sessions.session import SessionState, SessionStatus
from tests.chaos.machine.call_log import CallLog, now
from tests.chaos.machine.plan import Arrival, Behaviour
from tests.harness.call import CHAT_TOPIC
from tests.harness.caller import Caller
from tests.harness.client import Client, StartedSession
from tests.waiting import eventually

LIMITS: dict[str, float] = {
    "queue_seconds": 15,
    "join_timeout": 10,
    "ready_timeout": 15,
    "join_attempts": 4,
    "join_backoff": 0.2,
    "max_replacements": 6,
    "caller_wait": 15,
    "caller_return": 6,
    "caller_hangup_return": 3,
    "max_duration": 90,
    "report_grace": 10,
    "lost_report_grace": 1,
    "archive_wait": 10,
    "summary_wait": 5,
    "room_deletion_wait": 10,
}
"""Short, so that calls end within the run; long enough for a busy machine."""
EXTERNAL = "external"
"""The name that the external agent registers with."""
START_SECONDS = 25.0
"""How long a caller repeats a start that is not answered, or refused for the moment."""
JOIN_SECONDS = 30.0
END_SECONDS = 90.0
"""How long the API may refuse to take a request for an end."""
AGENT_SECONDS = 20.0
"""How long a caller waits for an agent before it counts the length of the call."""
REPLY_SECONDS = 5.0
POLL_SECONDS = 1.0
_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""What a request may be answered while something is away, or busy."""


@dataclass
class Callers:
    """All callers of a run."""

    client: Client
    livekit_url: str
    """Where callers connect: past the proxies, as callers have their own way to LiveKit."""
    run: str
    """Part of every idempotency key, so that runs on one stack do not meet."""
    logs: dict[SessionKey, CallLog] = field(default_factory=dict[SessionKey, CallLog])
    refused: list[int] = field(default_factory=list[int])
    """The last status of starts that were never accepted; 0 if none was answered."""
    violations: list[str] = field(default_factory=list[str])
    """Responses that no caller may ever get."""
    _tried: set[str] = field(default_factory=set[str])

    @property
    def open(self) -> list[SessionKey]:
        """Sessions that were not seen to be closed yet, in the order of their starts."""
        endings = self.client.ledger.endings
        return [key for key in self.logs if not endings.get(key)]

    async def call(self, arrival: Arrival) -> None:
        """One caller, from its start to its end."""
        started = await self._start(arrival)
        if started is None:
            return
        log = self.logs[started.key]
        match arrival.behaviour:
            case Behaviour.NEVER_COMES:
                pass
            case Behaviour.ENDS_AT_ONCE:
                await self._end(log)
            case _:
                await self._talk(arrival, started, log)

    async def flood(self, count: int, number: int) -> None:
        """Starts at once, whose callers never come."""
        limits = LIMITS | {"queue_seconds": 5, "caller_wait": 3}
        keys = [f"{self.run}-flood-{number}-{at}" for at in range(count)]
        await asyncio.gather(*(self._try_start(key, None, limits=limits) for key in keys))

    async def _start(self, arrival: Arrival) -> StartedSession | None:
        key = f"{self.run}-{arrival.number}"
        external = arrival.behaviour is Behaviour.EXTERNAL_AGENT
        how: dict[str, Any] = {"limits": LIMITS}
        if external:
            how["agent_config"] = {"agent_name": EXTERNAL}
        deadline = time.monotonic() + START_SECONDS
        while True:
            both = arrival.behaviour is Behaviour.STARTS_TWICE
            tries = [self._try_start(key, arrival.behaviour, **how) for _ in range(1 + both)]
            answers = await asyncio.gather(*tries)
            started = next((one for one in answers if isinstance(one, StartedSession)), None)
            over = HTTPStatus.CONFLICT in answers or time.monotonic() > deadline
            if started is not None or over:
                if started is None:
                    self.refused += [one for one in answers if isinstance(one, int)][:1]
                return started
            await asyncio.sleep(POLL_SECONDS)

    async def _try_start(
        self, key: str, behaviour: Behaviour | None, **how: Any
    ) -> StartedSession | int:
        """A start's session, or the status of its response (0 without one)."""
        try:
            response = await self.client.try_start(idempotency_key=key, **how)
        except httpx.TransportError:
            return 0
        finally:
            self._tried.add(key)
        if response.is_success:
            answer = response.json()
            session = SessionKey(self.client.org, answer["session_id"])
            self.logs.setdefault(session, CallLog(session, behaviour))
            return StartedSession(session, response.status_code, answer)
        status = response.status_code
        if status == HTTPStatus.CONFLICT and key in self._tried:
            return status  # an earlier try began the session, which has ended meanwhile
        if status not in _REFUSALS:
            self.violations.append(f"start {key} was answered {status}: {response.text}")
        if status == HTTPStatus.SERVICE_UNAVAILABLE and "retry-after" not in response.headers:
            self.violations.append(f"start {key} was refused without Retry-After")
        return status

    async def _talk(self, arrival: Arrival, started: StartedSession, log: CallLog) -> None:
        caller = await self._join(started, log)
        if caller is None:
            return
        try:
            with suppress(AssertionError):  # nobody to talk to: the caller waits no longer
                await eventually(lambda: bool(log.agents), AGENT_SECONDS)
            until = time.monotonic() + arrival.seconds
            await self._converse(caller, log, until)
            if arrival.behaviour is Behaviour.RELOADS and not caller.disconnected.is_set():
                await self._leave(caller, log)
                caller = await self._join(started, log)
                if caller is None:
                    return
                await self._converse(caller, log, until + arrival.seconds / 2)
            if arrival.behaviour is Behaviour.TALKS:
                await self._end(log)
                with suppress(TimeoutError):
                    async with asyncio.timeout(REPLY_SECONDS):
                        await caller.disconnected.wait()
        finally:
            if caller is not None:
                await self._leave(caller, log)

    async def _join(self, started: StartedSession, log: CallLog) -> Caller | None:
        """Join as soon as the room is there; None if it did not come, or the call is over."""
        deadline = time.monotonic() + JOIN_SECONDS
        while time.monotonic() < deadline:
            status = await self.status(started.key)
            if status is not None and status.state.call_is_over():
                return None
            caller = Caller()
            _watch(caller.room, log)
            try:
                await caller.connect(self.livekit_url, started.answer["livekit_token"])
            except (rtc.ConnectError, rtc.participant.PublishTrackError):
                await caller.disconnect()
                await asyncio.sleep(POLL_SECONDS)
                continue
            log.joined()
            for participant in caller.room.remote_participants.values():
                _see(participant, log)
            return caller
        return None

    async def _leave(self, caller: Caller, log: CallLog) -> None:
        log.left()
        await caller.disconnect()

    async def _converse(self, caller: Caller, log: CallLog, until: float) -> None:
        number = 0
        while time.monotonic() < until and not caller.disconnected.is_set():
            known = len(caller.subtitles.lines)
            number += 1
            # Without an agent nobody takes the text, and the SDK says so in several ways.
            with suppress(rtc.StreamError, TimeoutError):
                text = f"My name is caller number {number} of the {known} lines."
                await caller.room.local_participant.send_text(text, topic=CHAT_TOPIC)
                within = min(REPLY_SECONDS, max(until - time.monotonic(), 0.1))
                await caller.wait_for_subtitle(
                    lambda _, known=known: len(caller.subtitles.lines) > known, within
                )
                log.answers += 1
            await self.status(log.key)
            await asyncio.sleep(0.2)

    async def _end(self, log: CallLog) -> None:
        """Ask for the end until the API accepts it."""

        async def accepted() -> bool:
            try:
                path = f"/v1/sessions/{log.key.session_id}/end"
                response = await self.client.http.post(path)
            except httpx.TransportError:
                return False
            return response.is_success

        try:
            await eventually(accepted, END_SECONDS)
        except AssertionError:
            self.violations.append(f"the end of {log.key} was not accepted in {END_SECONDS:g} s")
        else:
            log.asked_to_end = now()

    async def status(self, key: SessionKey) -> SessionStatus | None:
        """A session's status; None while it cannot be had."""
        try:
            return await self.client.status(key.session_id)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in _REFUSALS:
                text = f"{error.response.status_code} {error.response.text}"
                self.violations.append(f"status of {key}: {text}")
            return None
        except httpx.TransportError:
            return None

    async def watch(self, key: SessionKey, deadline: float) -> SessionStatus | None:
        """A session's last status once it is closed and its room deleted, or at the deadline."""
        seen = await self.status(key)
        while time.monotonic() < deadline and not _finished(seen):
            await asyncio.sleep(POLL_SECONDS)
            seen = await self.status(key) or seen
        return seen


def _finished(status: SessionStatus | None) -> bool:
    return status is not None and status.state is SessionState.CLOSED and status.room_deleted


def _watch(room: rtc.Room, log: CallLog) -> None:
    def joined(participant: rtc.RemoteParticipant) -> None:
        _see(participant, log)

    def left(participant: rtc.RemoteParticipant) -> None:
        log.agent_left(participant.identity)

    def disconnected(_: rtc.DisconnectReason.ValueType) -> None:
        log.left()

    room.on("participant_connected", joined)
    room.on("participant_disconnected", left)
    room.on("disconnected", disconnected)


def _see(participant: rtc.RemoteParticipant, log: CallLog) -> None:
    if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
        log.agent_joined(participant.identity)
