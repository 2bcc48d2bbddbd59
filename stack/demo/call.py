"""The demo's call, from its start to the check that nothing of it is left."""

import asyncio
import secrets
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import aiohttp
from livekit import api, rtc
from livekit.protocol import room as rooms
from livekit.protocol.models import ParticipantInfo
from pydantic import ValidationError

from stack.demo.caller import Caller
from stack.demo.client import ApiRefusedError, SessionClient, Started, Turn, Watch
from stack.demo.demo_stack import DemoStack
from stack.demo.evidence import AgentInRoom, Evidence, Exchange, Step
from stack.demo.lines import Line, read_lines
from stack.demo.screen import Screen
from stack.waits import agent_to_join, waiting_for

ANSWER_SECONDS = 25.0
"""From the caller's last word until the agent has answered."""
END_SECONDS = 60.0
"""From the request to end until the room is gone."""
_JOIN_SECONDS = 15.0
_DISCONNECT_SECONDS = 5.0
_TALK_SAID_AFTER = 10.0
"""What is being waited for is said after this: to speak and to listen takes a while."""
_WAITS_FOR = {
    Step.JOIN: "the caller to connect",
    Step.END: "the session to close: report, transcript, summary, room",
    Step.ROOM: "the caller's connection to close",
}
"""Of other steps: the API."""

AGENT = {
    "prompt": "You are Ada, the host at the Blue Door, a restaurant. You take bookings.",
    "conversation_start": {
        "who": "ai",
        "greeting": "Good evening, this is the Blue Door. How can I help you?",
    },
}


async def place_call(stack: DemoStack, screen: Screen) -> Evidence:
    """Call the agent, talk with it, end the session, and check what is left of it.

    Failures are part of the evidence. On cancellation, the session is ended first.
    """
    session_id = f"demo-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    seen = Evidence(session_id, read_lines())
    keys = stack.credentials
    async with (
        SessionClient(str(stack.urls.api), keys.api_key, session_id) as client,
        api.LiveKitAPI(
            str(stack.urls.livekit), keys.livekit_api_key, keys.livekit_api_secret
        ) as livekit,
    ):
        try:
            await DemoCall(stack.home.root / "demo", screen, client, livekit, seen).run()
        except asyncio.CancelledError:
            screen.say("ending the session first; Ctrl-C again leaves at once")
            if not await _end_interrupted(client):
                screen.say(f"its end was not confirmed: everline sessions show {session_id}")
            raise
    return seen


async def _end_interrupted(client: SessionClient) -> bool:
    """End the session; returns whether it is gone."""
    for _ in range(2):
        try:
            await client.end()
            break
        except ApiRefusedError:
            # Not found: its start was interrupted, and may still arrive.
            await asyncio.sleep(1)
    else:
        return True
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        with suppress(ApiRefusedError):
            if (await client.status()).over:
                return True
        await asyncio.sleep(0.2)
    return False


@dataclass
class DemoCall:
    """One call; each step is shown as soon as it is over."""

    folder: Path
    screen: Screen
    client: SessionClient
    livekit: api.LiveKitAPI
    seen: Evidence

    def __post_init__(self) -> None:
        self._caller = Caller()
        self._watch = Watch(self.client, self.screen.turn)
        self.seen.live_turns = self._watch.turns

    async def run(self) -> None:
        """Talk, then end the session and check what is left, even if the talk failed."""
        seen = self.seen
        following: asyncio.Task[None] | None = None
        try:
            with self._step(Step.START):
                began = time.monotonic()
                body = {"user_identity": "demo-caller", "agent_config": AGENT}
                seen.started = started = await self.client.start(body)
                seen.start_seconds = time.monotonic() - began
            if Step.START in seen.faults:
                return
            following = asyncio.create_task(self._watch.follow())
            with self._step(Step.JOIN):
                await self._join(started)
            if Step.JOIN not in seen.faults:
                await self._talk()
            self._save_recording()
            for step in (Step.RECOGNITION, Step.ANSWERS, Step.AUDIO):
                self.screen.show(step, seen)
            with self._step(Step.END):
                await self._end()
            with self._step(Step.TRANSCRIPT):
                seen.transcript = await self.client.transcript()
            with self._step(Step.SUMMARY):
                seen.summary = await self.client.summary()
            with self._step(Step.ROOM):
                await self._check_room(started.room_name)
        finally:
            if following:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await self._caller.disconnect()

    async def _join(self, started: Started) -> None:
        """Connect as the caller, and ask the API and LiveKit about the agent."""
        async with asyncio.timeout(_JOIN_SECONDS):
            await self._caller.connect(started.livekit_url, started.livekit_token)
            self.seen.joined = await self.client.status()
            found = await self.livekit.room.list_participants(
                rooms.ListParticipantsRequest(room=started.room_name)
            )
        self.seen.agents = [
            AgentInRoom(
                identity=participant.identity,
                active=participant.state == ParticipantInfo.State.ACTIVE,
                attempt=participant.attributes.get("everline.attempt"),
            )
            for participant in found.participants
            if participant.kind == ParticipantInfo.Kind.AGENT
        ]
        self.seen.seen_by_caller = list(self._caller.room.remote_participants)

    async def _talk(self) -> None:
        self.screen.talk_begins()
        with (
            self._faults(Step.AUDIO, "the agent's greeting was not heard"),
            waiting_for("the agent's greeting", self._say_wait, _TALK_SAID_AFTER),
        ):
            await self._caller.wait_until_agent_spoke(0.0, ANSWER_SECONDS)
            await self._watch.until(lambda watch: bool(watch.turns), ANSWER_SECONDS)
        for line in self.seen.lines:
            if self.seen.faults:
                return
            with (
                self._faults(Step.ANSWERS, f"“{line.says}” was not answered"),
                waiting_for(f"the answer to “{line.says}”", self._say_wait, _TALK_SAID_AFTER),
            ):
                await self._say(line)

    async def _say(self, line: Line) -> None:
        """Play a line, and wait until the agent has answered and is silent."""
        exchange = Exchange(line)
        self.seen.exchanges.append(exchange)
        before = len(self._watch.turns)
        await self._caller.play(line.recording)
        said_at = self._caller.heard.now()
        try:
            await self._watch.until(lambda watch: _answered(watch.turns[before:]), ANSWER_SECONDS)
            await self._caller.wait_until_agent_spoke(said_at, ANSWER_SECONDS)
        finally:
            turns = self._watch.turns[before:]
            exchange.heard = " ".join(turn.text for turn in turns if turn.by_caller)
            exchange.answer = " ".join(turn.text for turn in turns if not turn.by_caller)
            exchange.speech_seconds = self._caller.heard.speech_seconds(said_at)
            first = self._caller.heard.first_speech(said_at)
            exchange.silence_seconds = first - said_at if first else None

    def _save_recording(self) -> None:
        self.seen.speech_seconds = self._caller.heard.speech_seconds()
        self.folder.mkdir(exist_ok=True)
        self.seen.recording = self.folder / f"{self.seen.session_id}.wav"
        self._caller.heard.save(self.seen.recording)

    async def _end(self) -> None:
        await self.client.end()
        try:
            await self._watch.until(
                lambda watch: watch.status is not None and watch.status.over, END_SECONDS
            )
        finally:
            self.seen.ended = self._watch.status

    async def _check_room(self, name: str) -> None:
        found = await self.livekit.room.list_rooms(rooms.ListRoomsRequest(names=[name]))
        self.seen.rooms_left = [room.name for room in found.rooms]
        with suppress(TimeoutError):  # then it is still connected, which the verdict says
            await asyncio.wait_for(self._caller.disconnected.wait(), _DISCONNECT_SECONDS)
        self.seen.disconnected = self._caller.disconnected.is_set()

    @contextmanager
    def _step(self, step: Step) -> Generator[None]:
        """Show the result of a step after the block."""
        waits_for = _WAITS_FOR.get(step, "the API")
        if step is Step.START:
            waits_for = partial(agent_to_join, str(self.client.base_url))
        with self._faults(step, "it took too long"), waiting_for(waits_for, self._say_wait):
            yield
        self.screen.show(step, self.seen)

    def _say_wait(self, line: str) -> None:
        self.screen.say(f"  {line}", style="dim")

    @contextmanager
    def _faults(self, step: Step, when_late: str) -> Generator[None]:
        """Record errors in the block as the fault of a step."""
        try:
            yield
        except (ApiRefusedError, rtc.ConnectError) as error:
            self.seen.faults[step] = str(error)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
            self.seen.faults[step] = f"the API's response lacks {fields}"
        except (api.ServerError, aiohttp.ClientError) as error:
            self.seen.faults[step] = f"LiveKit did not answer ({type(error).__name__})"
        except TimeoutError:
            self.seen.faults[step] = when_late


def _answered(turns: list[Turn]) -> bool:
    """Whether the turns contain one of the caller and end with a complete answer."""
    said = any(turn.by_caller for turn in turns)
    return said and not (turns[-1].by_caller or turns[-1].interrupted)
