"""Agents and agent servers that die, hang or are told to stop, again and again in one long call."""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from livekit import rtc

from domain.sessions.session import Outcome, SessionState
from domain.transcripts.transcript import Turn
from tests.harness.agent_servers import AgentServers, Host, OwnServer, two_agent_servers
from tests.harness.call import CHAT_TOPIC, Call
from tests.harness.client import Transcript
from tests.harness.rig import Rig
from tests.waiting import eventually

SEED = "EVERLINE_CHAOS_SEED"
GREETING = "Welcome to the Blue Fox, how can I help you?"
LIMITS = {
    "max_duration": 1200.0,
    "max_replacements": 20.0,
    "caller_return": 60.0,
    "join_attempts": 10.0,
    # A dispatch to a server that has just died is lost, and the next one is to come soon.
    "join_timeout": 8.0,
    "join_backoff": 0.0,
}
REPLACED_SECONDS = 180.0
"""Longest wait for another agent. That it came soon is told by who removed the old one."""
NAMES = ("Anna", "Bruno", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jonas")
Blow = Callable[[Host], Awaitable[None]]


async def kill_job(host: Host) -> None:
    host.job.kill()


async def stop_job(host: Host) -> None:
    host.job.suspend()


async def end_job(host: Host) -> None:
    host.job.terminate()


async def kill_server(host: Host) -> None:
    host.kill()


async def end_server(host: Host) -> None:
    host.server.terminate()


END_THE_SERVER: dict[str, Blow] = {
    "kill -9 of the server": kill_server,
    "SIGTERM of the server": end_server,
}
BLOWS: dict[str, Blow] = {
    "kill -9 of the job": kill_job,
    "SIGSTOP of the job": stop_job,
    "SIGTERM of the job": end_job,
    **END_THE_SERVER,
}
STOP_SERVER = "SIGSTOP of the server"
CUT_OFF = "the server is cut off"


class Departures:
    """Which agents left the caller's room, and why, as LiveKit tells the caller."""

    def __init__(self, call: Call) -> None:
        self.reasons: dict[str, str] = {}

        def left(participant: rtc.RemoteParticipant) -> None:
            reason = participant.disconnect_reason
            name = "unknown" if reason is None else rtc.DisconnectReason.Name(reason)
            if participant.identity.startswith("agent-"):
                self.reasons[participant.identity] = name

        call.caller.room.on("participant_disconnected", left)


class LongCall:
    """A call whose agents are lost one after the other."""

    def __init__(self, rig: Rig, call: Call, servers: AgentServers, chosen: random.Random) -> None:
        self._rig = rig
        self._call = call
        self._servers = servers
        self._chosen = chosen
        self._departures = Departures(call)
        self._names = iter(NAMES * 10)

    async def suffer(self, blow: str) -> None:
        """Lose the agent at a random moment of the conversation, and go on with the next one."""
        before = await self._rig.client.status(self._call.session_id)
        host = await self._servers.host(self._call.key, before.attempt)
        [agent] = await self._rig.rooms.agents(self._call.started.room)
        await self._send(f"My name is {next(self._names)}.")
        moment = self._chosen.uniform(0, 2.5)
        await asyncio.sleep(moment)
        if blow == STOP_SERVER:
            await self._freeze(host, before.joins)
        elif blow == CUT_OFF:
            await self._cut_off(before.joins)
        else:
            await BLOWS[blow](host)
            await self._replaced(before.joins)
        await self._alone()
        reason = self._departures.reasons.get(agent.identity)
        assert reason != "CONNECTION_TIMEOUT", f"{blow} after {moment:.1f} s: LiveKit noticed first"
        await self.converse()
        if blow in END_THE_SERVER:
            await self._servers.start_again(host)

    async def converse(self) -> None:
        """Have something said and answered."""
        name = next(self._names)
        known = len(self._call.caller.subtitles.lines)

        async def answered() -> bool:
            await self._send(f"My name is {name}.")
            with suppress(TimeoutError):
                await self._call.caller.wait_for_subtitle(lambda _: self._said(known, name), 6)
            return self._said(known, name)

        await eventually(answered, 120, f"{name} is answered")

    def _said(self, known: int, words: str) -> bool:
        lines = self._call.caller.subtitles.lines[known:]
        return any(words in line.text for line in lines if line.identity.startswith("agent-"))

    async def _send(self, text: str) -> None:
        await self._call.caller.room.local_participant.send_text(text, topic=CHAT_TOPIC)

    async def _freeze(self, host: Host, joins: int) -> None:
        """A server that comes back after its calls were given to others lets go of them."""
        frozen = host.suspend()
        try:
            await self._replaced(joins)
        finally:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        await eventually(lambda: not host.job.is_running(), 60, "the stale job has ended")

    async def _cut_off(self, joins: int) -> None:
        """A server whose heartbeats get lost, although it works: it cannot know, and goes on."""
        self._rig.proxy.heartbeats_pass = False
        try:
            await self._replaced(joins)
        finally:
            self._rig.proxy.heartbeats_pass = True

    async def _replaced(self, joins: int) -> None:
        await self._rig.client.until(
            self._call.session_id, REPLACED_SECONDS, joins=joins + 1, state=SessionState.LIVE
        )

    async def _alone(self) -> None:
        async def one_agent() -> bool:
            return len(await self._rig.rooms.agents(self._call.started.room)) == 1

        await eventually(one_agent, 60, "there is one agent in the room")


async def lose_agents(
    rig: Rig, servers: AgentServers, blows: list[str], chosen: random.Random
) -> None:
    """One call that loses an agent with each blow, from its greeting to its honest end."""
    start = {"who": "ai", "greeting": GREETING}
    async with rig.call(agent_config={"conversation_start": start}, limits=LIMITS) as call:
        await call.answer(0, "Blue Fox")
        long_call = LongCall(rig, call, servers, chosen)
        committed = await rig.client.until_turns(call.session_id, 1)
        for blow in blows:
            await long_call.suffer(blow)
            known = await rig.client.transcript(call.session_id)
            assert _kept(committed, known) == committed.turns, blow
            committed = known
        await rig.client.end(call.session_id)
        closed = await rig.client.closed(call.session_id, 90)
    assert closed.outcome is Outcome.COMPLETED
    # Who takes over from a server that is cut off is on it as well, and may be replaced once more.
    assert closed.joins >= len(blows) + 1, closed.timeline
    transcript = await rig.client.transcript(call.session_id)
    assert _kept(committed, transcript) == committed.turns
    assert transcript.said("assistant").count(GREETING) == 1, "nobody is greeted twice"
    attempts = [turn.attempt for turn in transcript.turns]
    assert attempts == sorted(attempts)


def _kept(committed: Transcript, later: Transcript) -> list[Turn]:
    """What is left of a transcript, in order: last words of the dead come between the others."""
    return [turn for turn in later.turns if turn in committed.turns]


def announced(capsys: pytest.CaptureFixture[str]) -> random.Random:
    """Chance that can be had again."""
    seed = int(os.environ.get(SEED) or random.randrange(1_000_000))
    with capsys.disabled():
        print(f"\n{SEED}={seed}")  # noqa: T201 - how a failure is repeated
    return random.Random(seed)


@pytest.mark.timeout(900)
async def test_a_caller_goes_on_whatever_happens_to_the_agent(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = announced(capsys)
    blows = ["kill -9 of the job", "SIGSTOP of the job", CUT_OFF, "kill -9 of the server"]
    chosen.shuffle(blows)
    await lose_agents(rig, OwnServer(rig), blows, chosen)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_a_caller_goes_on_although_ten_agents_die(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = announced(capsys)
    blows = [*BLOWS, STOP_SERVER] * 2
    chosen.shuffle(blows)
    async with two_agent_servers(rig, tmp_path) as servers:
        await lose_agents(rig, servers, blows, chosen)
