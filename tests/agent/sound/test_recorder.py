"""The agent's own recorder and the disk that it writes to."""

from pathlib import Path

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

from agent.sound.recording import CallRecorder
from domain.recordings.recording import RecordingState
from tests.agent.samples import new_entry, target_of_nobody
from tests.fakes.hanging_disk import hanging


class Speaker(AudioOutput):
    """Plays nothing."""

    def __init__(self) -> None:
        super().__init__(label="test", capabilities=AudioOutputCapabilities(pause=False))

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)

    def flush(self) -> None:
        super().flush()

    def clear_buffer(self) -> None:
        """Nothing is kept."""


async def test_a_disk_that_hangs_as_the_sound_is_to_be_written_stops_no_call(
    tmp_path: Path,
) -> None:
    entry = new_entry(tmp_path, target_of_nobody())
    session: AgentSession[None] = AgentSession()
    session.input.audio, session.output.audio = AudioInput(label="test"), Speaker()
    with hanging(entry.sound):
        recorder = await CallRecorder.start(session, entry, tmp_path.as_uri())

        recording = await recorder.aclose()
    assert recording is not None
    assert recording.state is RecordingState.FAILED
    assert recording.error == "it could not start: DiskHangs"
    entry.release()
