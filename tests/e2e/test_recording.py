"""A recorded call can be listened to afterwards: both sides, each on its channel, in its time."""

from domain.recordings.recording import RecordingState
from domain.sessions.session import Outcome
from domain.transcripts.transcript import TranscriptHeader
from tests.harness.call import HOURS
from tests.harness.rig import Rig
from tests.harness.sound import channels, speech
from tests.waiting import eventually


async def test_the_recording_of_a_call_is_linked_and_has_both_sides(rig: Rig) -> None:
    greeting = {"who": "ai", "greeting": "Welcome to the Blue Fox, how can I help you?"}
    config = {"recording": {"enabled": True}, "conversation_start": greeting}
    async with rig.call(agent_config=config) as call:
        await call.answer(0, "Blue Fox")
        await call.say(HOURS)
        early = await rig.client.http.get(f"/v1/sessions/{call.session_id}/recording")
        assert early.status_code == 404, "a call in progress has none yet"
    closed = await rig.client.closed(call.session_id)
    assert closed.outcome is Outcome.COMPLETED

    header = await _stored(rig, call.session_id)
    [recording] = header.recordings
    assert (recording.attempt, recording.error) == (1, None)
    assert recording.spool, "whose disk it waited on is known by heartbeats"
    answer = await rig.client.http.get(f"/v1/sessions/{call.session_id}/recording")
    assert answer.headers["content-type"] == "audio/ogg"
    assert len(answer.content) == recording.bytes
    _check_figures(header)
    caller, agent = channels(answer.content)
    spoken = speech(agent)
    asked = speech(caller)
    assert len(asked) > 10, "the caller speaks for more than a second"
    assert len(spoken) > 20, "the agent speaks for more than two"
    # The agent greets, the caller asks, the agent answers.
    assert spoken[0] < asked[0] < spoken[-1]
    during_the_question = [one for one in spoken if asked[0] < one < asked[-1]]
    assert len(during_the_question) < len(asked) / 2, "nobody's sound is on the other's channel"
    stranger = await rig.other_org("eve-records")
    stolen = await stranger.http.get(f"/v1/sessions/{call.session_id}/recording")
    assert stolen.status_code == 404


def _check_figures(header: TranscriptHeader) -> None:
    """What the local models used is counted; nobody knows what such a server costs."""
    used = {one.type: one for one in header.usage}
    assert {"llm_usage", "stt_usage", "tts_usage"} <= used.keys()
    assert used["llm_usage"].output_tokens > 0
    assert used["stt_usage"].audio_duration > 0
    assert used["tts_usage"].characters_count > 0
    assert header.cost is not None
    assert (header.cost.total, header.cost.known) == (None, 0)
    assert header.latency is not None
    for stage in (header.latency.e2e, header.latency.llm, header.latency.tts):
        assert stage is not None
        assert 0 < stage.p50 <= stage.p95 <= stage.max


async def _stored(rig: Rig, session_id: str) -> TranscriptHeader:
    found: list[TranscriptHeader] = []

    async def stored() -> bool:
        header = (await rig.client.transcript(session_id)).header
        if header is None or not header.recordings:
            return False
        found.append(header)
        return header.recordings[0].state is RecordingState.STORED

    await eventually(stored, 60, "the recording is stored")
    return found[-1]
