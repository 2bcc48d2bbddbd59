"""A call as its caller has it: a real participant with recorded speech, ears and subtitles."""

from pathlib import Path

from livekit import rtc

from stack.demo.hearing import Heard
from tests.harness.caller import Caller, Subtitle
from tests.harness.client import Client, StartedSession
from tests.stack.models.lines import SPEECH_FOLDER, SpokenLine, spoken_lines
from tests.waiting import eventually

BOOK, TOMORROW, NAME, HOURS, GOODBYE = spoken_lines()
JOIN_SECONDS = 60.0
ANSWER_SECONDS = 60.0
CHAT_TOPIC = "lk.chat"


class Call:
    """One session with its caller."""

    def __init__(self, client: Client, started: StartedSession) -> None:
        self.client = client
        self.started = started
        self.key = started.key
        self.caller = Caller()

    @property
    def session_id(self) -> str:
        """The session."""
        return self.key.session_id

    async def join(self) -> None:
        """The caller joins, with the microphone on."""
        await self.caller.connect(
            self.started.answer["livekit_url"], self.started.answer["livekit_token"]
        )

    async def until_heard(self) -> None:
        """Wait until the agent listens: LiveKit's SDK drops texts of whom it has not met yet."""
        await self.caller.wait_until_heard(JOIN_SECONDS)

    async def leave(self) -> None:
        """The caller hangs up."""
        await self.caller.disconnect()

    async def rejoin(self) -> None:
        """The page is loaded again: a new connection with the same token."""
        await self.leave()
        self.caller = Caller()
        await self.join()
        await self.until_heard()

    async def say(self, line: SpokenLine) -> str:
        """Say a recorded line; returns the agent's spoken answer, which has to fit it."""
        known, since = len(self.caller.subtitles.lines), Heard.now()
        await self.caller.play(Path(SPEECH_FOLDER) / line.file)
        answer = await self.answer(known, *line.answer_contains)
        await eventually(
            lambda: self.caller.heard.speech_seconds(since) > 0.5, what="the answer has sound"
        )
        return answer

    async def type(self, text: str, *, expect: str, also: str = "") -> str:
        """Send a text message; returns the agent's spoken answer, which has the words."""
        known = len(self.caller.subtitles.lines)

        async def sent() -> bool:
            try:
                await self.caller.room.local_participant.send_text(text, topic=CHAT_TOPIC)
            except rtc.StreamError:
                # The SDK is about to make a lost connection again.
                return False
            return True

        await eventually(sent, JOIN_SECONDS, "the text is sent")
        return await self.answer(known, expect, also)

    async def answer(self, known: int, *expected: str) -> str:
        """What the agent says after the first `known` subtitles, up to and with the expected words.

        An answer comes in one subtitle or in several.
        """

        def spoken(_: Subtitle) -> bool:
            return all(words in self._agent_text(known) for words in expected)

        try:
            await self.caller.wait_for_subtitle(spoken, ANSWER_SECONDS)
        except TimeoutError:
            lines = [f"{line.identity}: {line.text}" for line in self.caller.subtitles.lines]
            raise AssertionError(f"no {expected} in the answer, only {lines}") from None
        return self._agent_text(known)

    def _agent_text(self, known: int) -> str:
        lines = self.caller.subtitles.lines[known:]
        return " ".join(line.text for line in lines if line.identity.startswith("agent-"))

    async def until_present(self, within: float = 60) -> None:
        """Wait until the session knows that its caller is there."""
        await self.client.until(self.session_id, within, caller_present=True)

    @property
    def agents(self) -> list[str]:
        """Identities of the agents that the caller sees in the room."""
        return [
            participant.identity
            for participant in self.caller.room.remote_participants.values()
            if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        ]
