"""The conversation in the room: an `AgentSession` that stays silent until it is opened."""
# The SDK leaves the types of its session's event handlers and of run results open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable

import structlog
from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    Agent,
    AgentSession,
    CloseEvent,
    CloseReason,
    ConversationItemAddedEvent,
)
from livekit.agents.voice.room_io import RoomOptions, TextInputEvent, TextInputOptions

from agent.ending import Ending
from agent.engines import EngineParts
from agent.prompt import UNPROMPTED_GREETING, Words
from agent.tools import tools
from agent.turns import restored
from domain.transcript import ReportEnd, Role, Turn

log = structlog.stdlib.get_logger(__name__)

FINISH_SECONDS = 3.0
"""How long a sentence that is being spoken may go on when the call is asked to finish."""
LAST_WORDS_SECONDS = 1.0
"""How long the close waits for the text of what the caller is saying; the SDK waits that long even
if nobody speaks (its default is 2.0)."""


class Conversation:
    """One attempt's talk with the caller."""

    def __init__(
        self, parts: EngineParts, words: Words, tool_names: list[str], ending: Ending
    ) -> None:
        self._words = words
        self._ending = ending
        self._history: list[Turn] = []
        self._tools = tools(tool_names, ending)
        self._opening: asyncio.Task[None] | None = None
        self._open = False
        self.session: AgentSession[None] = AgentSession(
            stt=parts.stt or NOT_GIVEN,
            llm=parts.llm,
            tts=parts.tts or NOT_GIVEN,
            vad=parts.vad,
            turn_handling=parts.turn_handling,
            session_close_transcript_timeout=LAST_WORDS_SECONDS,
        )

    async def start(self, room: rtc.Room, caller_identity: str | None, history: list[Turn]) -> None:
        """Start the session in a connected room, deaf and so silent until `open`.

        `history` is what was said before this attempt: the agent knows it, and the session's own
        history (and so the report) holds only what follows.
        """
        self._history = history
        agent = Agent(
            instructions=self._words.prompt, chat_ctx=restored(history), tools=self._tools
        )
        options = RoomOptions(
            # A page reload is not an end: Everline decides when the caller has left.
            close_on_disconnect=False,
            text_input=TextInputOptions(text_input_cb=self._typed),
        )
        if caller_identity is not None:
            options.participant_identity = caller_identity
        self.session.input.set_audio_enabled(False)
        await self.session.start(
            agent,
            room=room,
            room_options=options,
            # Nobody in the room may drive or observe the session.
            session_host=False,
            record=False,
        )

    def on_commit(self, handle: Callable[[object], None]) -> None:
        """Call `handle` with each conversation item when it is committed."""

        def added(event: ConversationItemAddedEvent) -> None:
            handle(event.item)

        self.session.on("conversation_item_added", added)

    def on_close(self, handle: Callable[[], None]) -> None:
        """Call `handle` when the session is closed, for whatever reason."""

        def closed(event: CloseEvent) -> None:
            if event.reason == CloseReason.ERROR:
                self._ending.note(ReportEnd.ERROR, _describe(event))
            if self._opening is not None:
                self._opening.cancel()
            handle()

        self.session.on("close", closed)

    def open(self, caller_present: asyncio.Task[rtc.RemoteParticipant]) -> None:
        """Begin to listen, and speak first if that is the agent's part."""
        self._open = True
        self.session.input.set_audio_enabled(True)
        self._opening = asyncio.create_task(self._speak_first(caller_present), name="opening")

    async def finish(self) -> None:
        """Let the current sentence end, within `FINISH_SECONDS`, and close the session."""
        speech = self.session.current_speech
        if speech is not None:
            try:
                async with asyncio.timeout(FINISH_SECONDS):
                    await speech.wait_for_playout()
            except TimeoutError:
                log.info("speech_cut_at_finish")
        self.session.shutdown(drain=False)

    async def _speak_first(self, caller_present: asyncio.Task[rtc.RemoteParticipant]) -> None:
        await caller_present
        if greeting_is_due(self._history):
            self._greet()
        elif self._history[-1].role is Role.USER:
            # The agent before this one died before it had answered.
            self.session.generate_reply()

    def _greet(self) -> None:
        if self._words.greeting:
            self.session.say(self._words.greeting)
        elif self._words.agent_speaks_first:
            self.session.generate_reply(instructions=UNPROMPTED_GREETING)

    async def _typed(self, session: AgentSession[None], event: TextInputEvent) -> None:
        if self._open:
            await session.interrupt()
            session.generate_reply(user_input=event.text)


def greeting_is_due(history: list[Turn]) -> bool:
    """Whether nobody has greeted the caller to the end: the agent before may have died in it."""
    return all(turn.role is Role.ASSISTANT and turn.interrupted for turn in history)


def _describe(event: CloseEvent) -> str:
    """The error that closed a session, without its message: that may quote the conversation."""
    error = event.error
    if error is None:
        return "the session was closed by an error"
    cause = getattr(error, "error", None)
    status = getattr(cause, "status_code", None)
    known = f" with status {status}" if isinstance(status, int) and status > 0 else ""
    return f"{error.type} of {getattr(error, 'label', 'the engine')}: {type(cause).__name__}{known}"
