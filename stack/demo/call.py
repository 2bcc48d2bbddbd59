"""The demo's call, from its start to the check that nothing of it is left."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime

from livekit import rtc

from stack.demo.answers import Turn
from stack.demo.caller import Caller
from stack.demo.client import ApiRefusedError, SessionClient
from stack.demo.evidence import Evidence, Exchange, Step, StepFailedError
from stack.demo.lines import Line, read_lines
from stack.demo.screen import Screen
from stack.demo.stage import Stage
from stack.demo.watch import Watch
from stack.demo.witness import Witness, WitnessSilentError

ANSWER_SECONDS = 25.0
"""From the caller's last word until the agent has answered."""
END_SECONDS = 60.0
"""From the request to end until the room is gone."""
_MEET_SECONDS = 15.0
_PUT_OUT_SECONDS = 5.0

AGENT = {
    "prompt": "You are Ada, the host at the Blue Door, a restaurant. You take bookings.",
    "conversation_start": {
        "who": "ai",
        "greeting": "Good evening, this is the Blue Door. How can I help you?",
    },
}


def new_session_id() -> str:
    """Return an id with the current time."""
    return f"demo-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


async def place_call(stage: Stage, screen: Screen) -> Evidence:
    """Call the agent, talk with it, end the session, and check what is left of it.

    Failures are part of the evidence. On cancellation, the session is ended first.
    """
    seen = Evidence(session_id=new_session_id(), lines=read_lines())
    keys = stage.credentials
    async with (
        SessionClient(str(stage.urls.api), keys.api_key, seen.session_id) as client,
        Witness(str(stage.urls.livekit), keys.livekit_api_key, keys.livekit_api_secret) as witness,
    ):
        call = DemoCall(stage, screen, client, witness, seen)
        try:
            await call.run()
        except asyncio.CancelledError:
            screen.say("ending the session first; Ctrl-C again leaves at once")
            if not await _abandon(client):
                screen.say(f"it was not seen to end: everline sessions show {seen.session_id}")
            raise
    return seen


async def _abandon(client: SessionClient) -> bool:
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
    watch = Watch(client, on_turn=lambda _: None)
    following = asyncio.create_task(watch.follow())
    try:
        await watch.until(_is_over, END_SECONDS)
    except TimeoutError:
        return False
    finally:
        await _cancel(following)
    return True


class DemoCall:
    """One call; each step is shown as soon as it is over."""

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        client: SessionClient,
        witness: Witness,
        seen: Evidence,
    ) -> None:
        self._stage = stage
        self._screen = screen
        self._client = client
        self._witness = witness
        self._seen = seen
        self._caller = Caller()
        self._watch = Watch(client, self._take_in_turn)

    async def run(self) -> None:
        """Talk, then end the session and check what is left, even if the talk failed."""
        following: asyncio.Task[None] | None = None
        try:
            if await self._do(Step.START, self._start):
                following = asyncio.create_task(self._watch.follow())
                await self._talk()
                await self._do(Step.END, self._end)
                await self._do(Step.TRANSCRIPT, self._read_transcript)
                await self._do(Step.SUMMARY, self._read_summary)
                await self._do(Step.ROOM, self._look_for_room)
        finally:
            if following:
                await _cancel(following)
            await self._caller.disconnect()

    async def _talk(self) -> None:
        if await self._do(Step.JOIN, self._meet):
            self._screen.talk_begins()
            try:
                with _doing(Step.AUDIO, "the agent's greeting was not heard"):
                    await self._hear_greeting()
                for line in self._seen.lines:
                    with _doing(Step.ANSWERS, f"“{line.says}” was not answered"):
                        await self._say(line)
            except StepFailedError as fault:
                self._seen.faults.append(fault)
        self._keep_recording()
        for step in (Step.RECOGNITION, Step.ANSWERS, Step.AUDIO):
            self._screen.show(step, self._seen)

    async def _do(self, step: Step, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a step and show its result; returns whether it succeeded."""
        try:
            with _doing(step, "it took too long"):
                await work()
        except StepFailedError as fault:
            self._seen.faults.append(fault)
        self._screen.show(step, self._seen)
        return self._seen.fault(step) is None

    async def _start(self) -> None:
        began = time.monotonic()
        body = {"user_identity": "demo-caller", "agent_config": AGENT}
        self._seen.started = await self._client.start(body)
        self._seen.start_seconds = time.monotonic() - began

    async def _meet(self) -> None:
        """Connect as the caller, and ask the API and LiveKit about the agent."""
        started = self._seen.started
        assert started is not None
        async with asyncio.timeout(_MEET_SECONDS):
            await self._caller.connect(started.livekit_url, started.livekit_token)
            self._seen.joined = await self._client.status()
            self._seen.agents = await self._witness.agents_in(started.room_name)
        self._seen.seen_by_caller = list(self._caller.room.remote_participants)

    async def _hear_greeting(self) -> None:
        await self._caller.wait_until_agent_spoke(0.0, ANSWER_SECONDS)
        await self._watch.until(lambda watch: bool(watch.turns), ANSWER_SECONDS)

    async def _say(self, line: Line) -> None:
        """Play a line, and wait until the agent has answered and is silent."""
        exchange = Exchange(line)
        self._seen.exchanges.append(exchange)
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

    def _take_in_turn(self, turn: Turn) -> None:
        self._seen.live_turns.append(turn)
        self._screen.turn(turn)

    def _keep_recording(self) -> None:
        self._seen.speech_seconds = self._caller.heard.speech_seconds()
        folder = self._stage.home.root / "demo"
        folder.mkdir(exist_ok=True)
        self._seen.recording = folder / f"{self._seen.session_id}.wav"
        self._caller.heard.save(self._seen.recording)

    async def _end(self) -> None:
        await self._client.end()
        try:
            await self._watch.until(_is_over, END_SECONDS)
        finally:
            self._seen.ended = self._watch.status

    async def _read_transcript(self) -> None:
        self._seen.transcript = await self._client.transcript()

    async def _read_summary(self) -> None:
        self._seen.summary = await self._client.summary()

    async def _look_for_room(self) -> None:
        started = self._seen.started
        assert started is not None
        self._seen.rooms_left = await self._witness.rooms_named(started.room_name)
        with suppress(TimeoutError):  # then it is still connected, which the verdict says
            await asyncio.wait_for(self._caller.disconnected.wait(), _PUT_OUT_SECONDS)
        self._seen.put_out = self._caller.disconnected.is_set()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _is_over(watch: Watch) -> bool:
    return watch.status is not None and watch.status.over


def _answered(turns: list[Turn]) -> bool:
    """Whether the turns contain one of the caller and end with a complete answer."""
    return (
        any(turn.by_caller for turn in turns)
        and not turns[-1].by_caller
        and not turns[-1].interrupted
    )


@contextmanager
def _doing(step: Step, when_late: str) -> Generator[None]:
    """Attribute errors in the block to a step."""
    try:
        yield
    except (ApiRefusedError, WitnessSilentError, rtc.ConnectError) as error:
        raise StepFailedError(step, str(error)) from None
    except TimeoutError:
        raise StepFailedError(step, when_late) from None
