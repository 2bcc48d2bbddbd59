"""Whole calls: a real agent worker, LiveKit, recorded speech in and the agent's speech out."""

import json
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from domain.agents.config import AgentConfig, Engine, EngineKind
from domain.recordings.recording import Recording
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from tests.agent.live import (
    BOOK_A_TABLE,
    GOODBYE,
    GREETING,
    TOMORROW_AT_SEVEN,
    AgentWorker,
    LiveSession,
    live_session,
    start_agent,
)
from tests.agent.samples import turn
from tests.fakes.callback_api import CallbackApi
from tests.fakes.tool_calling_model import ToolCallingModel
from tests.harness.caller import Caller
from tests.harness.sound import channels, speech
from tests.servers import LiveKitServer
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)


def said(turns: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(each["seq"], each["role"], each["item_id"]) for each in turns]


async def greeted(session: LiveSession, caller: Caller) -> None:
    """Hear the greeting to its end, as the agent knows it: who speaks before that cuts it off."""
    await caller.wait_until_agent_spoke(0, within=60)
    await session.callbacks.wait_for(lambda: len(session.callbacks.turns) == 1)


async def converse(session: LiveSession, caller: Caller, recording: Path) -> None:
    """Say something and hear the answer to its end, as the agent knows it."""
    callbacks = session.callbacks
    turns = len(callbacks.turns)
    await caller.wait_until_heard(30)
    asked = caller.heard.now()
    await caller.play(recording)
    await caller.wait_until_agent_spoke(asked, within=60)
    await callbacks.wait_for(lambda: len(callbacks.turns) == turns + 2)


async def test_a_whole_call(session: LiveSession, home: CallbackApi) -> None:
    callbacks = session.callbacks
    await session.dispatch()
    await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
    [agent] = await session.agents()
    assert agent.attributes[ATTEMPT_ATTRIBUTE] == "1"
    claim = callbacks.of("ready")[0].body
    assert (claim["attempt"], claim["identity"]) == (1, agent.identity)

    caller = await session.call()
    try:
        await greeted(session, caller)
        await converse(session, caller, BOOK_A_TABLE)
        await converse(session, caller, TOMORROW_AT_SEVEN)
        await eventually(lambda: len(caller.subtitles.lines) == 5, 30)
        connection = caller.room.local_participant.sid
        await session.ask_to_finish("max_duration")
        await callbacks.wait_for(lambda: bool(callbacks.reports))
        await session.wait_until_no_agent()
    finally:
        await caller.disconnect()

    turns = list(callbacks.turns.values())
    roles = [each["role"] for each in turns]
    assert roles == ["assistant", "user", "assistant", "user", "assistant"]
    assert [each["seq"] for each in turns] == [0, 1, 2, 3, 4]
    assert turns[0]["text"] == GREETING
    assert "book a table for four people" in turns[1]["text"]
    assert "table for four" in turns[2]["text"]
    [report] = callbacks.reports
    assert said(report["turns"]) == said(turns)
    assert report["end_reason"] == "max_duration"
    assert {usage["type"] for usage in report["usage"]} == {"llm_usage", "stt_usage", "tts_usage"}
    assert callbacks.received[0].route == "ready"
    assert callbacks.received[-1].route == "report"
    # What the caller read is what was handed in.
    assert [line.text for line in caller.subtitles.lines] == [each["text"] for each in turns]
    await eventually(lambda: not list(session.worker.spool.glob("*-*")), 30)
    ticks = [tick for beat in home.of("heartbeat") for tick in beat.body["jobs"]]
    assert (claim["job_id"], session.session_id, 1) in {
        (tick["job_id"], tick["session_id"], tick["attempt"]) for tick in ticks
    }
    assert connection in {tick["caller"] for tick in ticks}


async def test_nothing_is_heard_of_an_agent_before_its_claim_nor_after_a_refusal(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    callbacks.ready_status, callbacks.ready_answer = 409, {"detail": "another agent is there"}
    callbacks.outage = 503
    caller = await session.call()
    try:
        await session.dispatch()
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        # Short: all of this has to fit into the time in which an agent tries to claim.
        await caller.play(GOODBYE)
        tries = len(callbacks.of("ready"))
        # Long enough for an answer, had the agent listened.
        await callbacks.wait_for(lambda: len(callbacks.of("ready")) >= tries + 3)
        callbacks.outage = None
        await callbacks.wait_for(lambda: callbacks.of("ready")[-1].status == 409)
        await session.wait_until_no_agent()
    finally:
        await caller.disconnect()

    assert caller.heard.speech_seconds() == 0
    assert caller.subtitles.lines == []
    assert {request.route for request in callbacks.received} == {"ready"}


async def test_turns_of_a_killed_job_arrive_and_its_replacement_goes_on(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    await session.dispatch()
    await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
    callbacks.outage = 503
    caller = await session.call()
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        await callbacks.wait_for(lambda: bool(callbacks.of("turns")))
        assert callbacks.turns == {}
        session.worker.job_process(session.claimed_job()).send_signal(signal.SIGKILL)
        callbacks.outage = None
        await callbacks.wait_for(lambda: len(callbacks.turns) == 1)
        assert [each["text"] for each in callbacks.turns.values()] == [GREETING]
        assert callbacks.reports == []

        callbacks.earlier_turns = [
            turn(0, text=GREETING),
            turn(1, text="I would like to book a table for four people."),
            turn(2, text="For which day, and at what time?"),
        ]
        await session.remove(callbacks.of("ready")[0].body["identity"])
        await session.dispatch(attempt=2)
        await session.wait_until_claimed(2)
        await converse(session, caller, TOMORROW_AT_SEVEN)
    finally:
        await caller.disconnect()

    _, heard, answered = callbacks.turns.values()
    assert [(each["attempt"], each["role"]) for each in (heard, answered)] == [
        (2, "user"),
        (2, "assistant"),
    ]
    assert "table for four" in answered["text"]


async def test_a_replacement_knows_the_turns_that_are_not_delivered_yet(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    callbacks.unavailable.add("turns")
    await session.dispatch()
    caller = await session.call()
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        await callbacks.wait_for(lambda: bool(callbacks.of("turns")))
        session.worker.job_process(session.claimed_job()).send_signal(signal.SIGKILL)
        await session.remove(callbacks.of("ready")[0].body["identity"])
        await session.dispatch(attempt=2)
        await session.wait_until_claimed(2)
        # The API knows nothing of the greeting until now.
        assert callbacks.turns == {}
        callbacks.unavailable.clear()
        await caller.play(BOOK_A_TABLE)
        await callbacks.wait_for(lambda: len(callbacks.turns) == 3)
    finally:
        await caller.disconnect()

    turns = sorted(callbacks.turns.values(), key=lambda each: (each["attempt"], each["seq"]))
    assert [(each["attempt"], each["role"]) for each in turns] == [
        (1, "assistant"),
        (2, "user"),
        (2, "assistant"),
    ], "nobody is greeted twice"


async def test_the_recording_of_a_killed_job_has_what_was_said(session: LiveSession) -> None:
    callbacks, spool = session.callbacks, session.worker.spool
    session.config = session.config.model_copy(update={"recording": Recording(enabled=True)})
    await session.dispatch()
    caller = await session.call()
    try:
        await greeted(session, caller)
        [file] = spool.glob("*/recording.ogg")
        before = file.stat().st_size
        await eventually(lambda: file.stat().st_size > before, what="more was written")
        assert file.stat().st_size < 200_000, "not a quarter of a megabyte at a time"
        session.worker.job_process(session.claimed_job()).send_signal(signal.SIGKILL)
        await callbacks.wait_for(lambda: bool(callbacks.of("recording")))
    finally:
        await caller.disconnect()

    [told] = callbacks.of("recording")
    assert (told.body["state"], told.body["error"]) == ("stored", None)
    _, agent = channels((spool.parent / "kept" / told.body["path"]).read_bytes())
    assert speech(agent), "the greeting is in it"


async def test_a_deleted_room_is_the_reason_of_its_report(session: LiveSession) -> None:
    callbacks = session.callbacks
    await session.dispatch()
    await session.wait_until_claimed()
    await session.delete_room()
    await callbacks.wait_for(lambda: bool(callbacks.reports))

    assert callbacks.reports[0]["end_reason"] == "room_deleted"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            # The stack's own models are a pipeline's.
            AgentConfig(engine=Engine(kind=EngineKind.REALTIME)),
            "engine.llm: openai does not allow a session with the model 'gpt-realtime' (403)",
        ),
        (AgentConfig(engine=Engine(llm="acme/wise-1")), "engine.llm: provider 'acme' "),
    ],
)
async def test_an_engine_that_cannot_start_says_so(
    session: LiveSession, config: AgentConfig, reason: str
) -> None:
    session.config = config
    await session.dispatch()
    await session.callbacks.wait_for(lambda: bool(session.callbacks.of("failed")))
    await session.wait_until_no_agent()

    [failed] = session.callbacks.received
    assert failed.body["reason"].startswith(reason)
    assert failed.body["retryable"] is False
    assert failed.body["attempt"] == 1


async def test_metadata_that_is_not_valid_is_told_to_everline(session: LiveSession) -> None:
    everline = {
        "org": "local",
        "attempt": 1,
        "callback_url": session.callbacks.url,
        "callback_token": session.callbacks.token,
    }
    await session.dispatch_metadata(json.dumps({"session_id": 5, "everline": everline}))
    await session.callbacks.wait_for(lambda: bool(session.callbacks.of("failed")))

    assert "session_id" in session.callbacks.of("failed")[0].body["reason"]


async def test_without_everline_it_is_a_plain_agent(session: LiveSession) -> None:
    start = {"who": "ai", "greeting": GREETING}
    metadata = {"session_id": session.session_id, "conversation_start": start}
    await session.dispatch_metadata(json.dumps(metadata))
    caller = await session.call()
    try:
        await caller.wait_until_agent_spoke(0, within=60)
        [agent] = await session.agents()
    finally:
        await caller.disconnect()

    assert ATTEMPT_ATTRIBUTE not in agent.attributes
    assert session.callbacks.received == []


async def test_a_page_reload_is_not_an_end(session: LiveSession) -> None:
    callbacks = session.callbacks
    await session.dispatch()
    caller = await session.call()
    try:
        await greeted(session, caller)
    finally:
        await caller.disconnect()
    caller = await session.call()
    try:
        await converse(session, caller, BOOK_A_TABLE)
    finally:
        await caller.disconnect()

    assert callbacks.reports == []
    assert [each["role"] for each in callbacks.turns.values()] == ["assistant", "user", "assistant"]


async def test_the_agent_can_end_the_call(
    livekit_server: LiveKitServer, models_url: str, home: CallbackApi, tmp_path: Path
) -> None:
    async with (
        # Whatever the ears make of it: "goodbye", "good bye" or "bye bye".
        ToolCallingModel(models_url, tool="end_call", trigger="bye") as model,
        start_agent(livekit_server, model.url, home.url, tmp_path, "ender") as agent,
        live_session(livekit_server, agent, f"s{uuid.uuid4().hex[:8]}") as session,
    ):
        session.config = AgentConfig(tools=["end_call"])
        await session.dispatch()
        caller = await session.call()
        try:
            # An agent that has not claimed its attempt does not listen.
            await session.wait_until_claimed()
            await caller.wait_until_heard(30)
            await caller.play(GOODBYE)
            await session.callbacks.wait_for(lambda: bool(session.callbacks.reports))
            await caller.wait_until_agent_spoke(0, within=60)
        finally:
            await caller.disconnect()

        [report] = session.callbacks.reports
        assert report["end_reason"] == "agent_ended"
        assert [each["role"] for each in report["turns"]] == ["user", "assistant"]
        assert report["turns"][1]["text"] == "Goodbye and thank you."
        assert caller.heard.speech_seconds() > 0.5


async def test_the_next_agent_worker_delivers_what_a_killed_one_left(
    livekit_server: LiveKitServer, models_url: str, home: CallbackApi, tmp_path: Path
) -> None:
    async with (
        start_agent(livekit_server, models_url, home.url, tmp_path, "first") as agent,
        live_session(livekit_server, agent, f"s{uuid.uuid4().hex[:8]}") as session,
    ):
        callbacks = session.callbacks
        await session.dispatch()
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        callbacks.outage = 503
        caller = await session.call()
        await caller.wait_until_agent_spoke(0, within=60)
        await callbacks.wait_for(lambda: bool(callbacks.of("turns")))
        job = agent.job_process(session.claimed_job())
        agent.process.kill()
        await caller.disconnect()
        # A job without its agent server must not go on talking.
        await eventually(lambda: not job.is_running(), within=60)
        callbacks.outage = None
        assert callbacks.turns == {}

        async with start_agent(livekit_server, models_url, home.url, tmp_path, "first"):
            await callbacks.wait_for(lambda: len(callbacks.turns) == 1)


async def test_a_stopped_agent_worker_hands_in_its_reports(
    livekit_server: LiveKitServer, models_url: str, home: CallbackApi, tmp_path: Path
) -> None:
    async with (
        start_agent(livekit_server, models_url, home.url, tmp_path, "leaver") as agent,
        live_session(livekit_server, agent, f"s{uuid.uuid4().hex[:8]}") as session,
    ):
        await session.dispatch()
        await session.wait_until_claimed()
        assert agent.process.process is not None
        agent.process.process.send_signal(signal.SIGTERM)
        await eventually(lambda: agent.exit_code() is not None, within=60)

        assert agent.exit_code() == 0
        [report] = session.callbacks.reports
        assert report["end_reason"] == "shutdown"


async def test_nothing_that_was_said_is_in_the_log(worker: AgentWorker) -> None:
    log = worker.process.log.read_text()

    assert "attempt_claimed" in log
    for secret in ("table service", "table for four", "evcb_", "everline_callback"):
        assert secret not in log
