"""The conversation in the room: an `AgentSession` that stays silent until it is opened."""
# The SDK leaves the types of its session's event handlers and of run results open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from livekit import rtc
from livekit.agents import (
    NOT_GIVEN,
    Agent,
    AgentSession,
    CloseEvent,
    CloseReason,
)
from livekit.agents.llm import RealtimeModel
from livekit.agents.types import TOPIC_CHAT, NotGivenOr
from livekit.agents.utils import is_given
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.room_io import RoomOptions

from agent.call.end_cause import EndCause
from agent.call.history import History
from agent.call.prompt import NUDGE, RECOVERY, TIME_WARNING, UNPROMPTED_GREETING, Words
from agent.call.typed import TypedText
from agent.engines import EngineParts, EngineUnavailable
from agent.sound import CallSound
from agent.watchers.answers import AnswerWatch
from agent.watchers.provider_errors import ProviderErrors
from agent.watchers.silence import SilenceWatch
from agent.watchers.time_limit import warn_in_time
from agent.watchers.unanswered import Unanswered
from domain.agents.call_policy import RecoveryPolicy, SilencePolicy
from domain.agents.config import DispatchedConfig
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.transcript import Role, Turn

log = structlog.stdlib.get_logger(__name__)

FINISH_SECONDS = 3.0
"""How long the current sentence may continue when the call is asked to finish."""
GOODBYE_SECONDS = 15.0
"""How long the agent may speak when it ends the call itself."""
ECHO_SECONDS = 0.5
"""How long the agent's first words are protected from their own echo, until the caller's app has
adapted to it. Meanwhile the SDK hears nothing of the caller (its default is 3.0)."""
CLOSE_TRANSCRIPT_SECONDS = 1.0
"""How long the close waits for the transcript of the caller's current words; the SDK waits that
long even if nobody speaks (its default is 2.0)."""

TYPED_SECONDS = 0.5
"""Pause between two answers to typed messages."""


class Conversation:
    """One attempt's conversation with the caller; `on_close` is called once it is over.

    `replaces` tells whether another agent has spoken in this call before, `unanswered` whether the
    caller had spoken to one that was lost, and it had not begun to answer.
    """

    def __init__(
        self,
        config: DispatchedConfig,
        parts: EngineParts,
        words: Words,
        ending: EndCause,
        sound: CallSound,
        on_close: Callable[[], None],
        *,
        replaces: bool,
        unanswered: bool,
    ) -> None:
        self._config = config
        self._sound = sound
        self._words = words
        self._ending = ending
        self._history = History([])
        self._watches: list[Callable[[], object]] = []
        """How to stop each of them."""
        self._opening: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._started = False
        self.session: AgentSession[None] = AgentSession(
            stt=parts.stt or NOT_GIVEN,
            llm=parts.llm,
            tts=parts.tts or NOT_GIVEN,
            vad=parts.vad,
            turn_handling=parts.turn_handling,
            tts_text_transforms=sound.text_transforms(),
            aec_warmup_duration=None if replaces else ECHO_SECONDS,
            session_close_transcript_timeout=CLOSE_TRANSCRIPT_SECONDS,
        )
        self._replaces = replaces
        self._unanswered = Unanswered(self.session, waiting=unanswered)
        self._typed = TypedText(self._is_caller, self._unanswered.heard)
        self._caller_identity: str | None = None
        self._room: rtc.Room | None = None
        self._on_close = on_close
        self._provider_errors = ProviderErrors(self.session, self._fail)
        self.session.on("close", self._closed)

    async def start(
        self,
        room: rtc.Room,
        caller_identity: str | None,
        history: History,
        agent: Agent,
        accepted: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Start the session in a connected room, without audio input until `open`.

        The agent listens to the caller of this identity, or without one to the first who joins. It
        knows the `history`; the session's own history (and so the report) holds only what follows.

        Raises:
            EngineFault: the provider refuses the session, and would do so again.
            EngineUnavailable: the provider cannot accept it now.
        """
        self._history = history
        self._caller_identity = caller_identity
        self._room = room
        room.register_text_stream_handler(TOPIC_CHAT, self._typed.stream)
        self.session.input.set_audio_enabled(False)
        await self.session.start(
            agent,
            room=room,
            room_options=RoomOptions(
                # A page reload does not end the call: Everline decides when the caller has left.
                close_on_disconnect=False,
                audio_input=self._sound.audio_input(),
                text_input=False,
                participant_identity=caller_identity or NOT_GIVEN,
            ),
            # No participant may control or observe the session.
            session_host=False,
            record=False,
        )
        if accepted is not None:
            await accepted()
        self._started = True

    @property
    def unanswered(self) -> bool:
        """Whether the caller speaks, or has spoken and the agent has not begun to answer."""
        return self._unanswered.waiting

    def _fail(self, reason: str) -> None:
        log.error("provider_failed", reason=reason)
        self._ending.note(ReportEnd.ERROR, reason)
        if self._started:
            self.session.shutdown(drain=False)

    def _closed(self, event: CloseEvent) -> None:
        if event.reason == CloseReason.ERROR:
            self._ending.note(ReportEnd.ERROR, _describe(event))
        if self._opening is not None:
            self._opening.cancel()
        if self._room is not None:
            self._room.unregister_text_stream_handler(TOPIC_CHAT)
        for stop in self._watches:
            stop()
        # A session that cannot start reports the reason itself.
        if self._started:
            self._on_close()

    def open(
        self,
        caller_present: asyncio.Task[rtc.RemoteParticipant],
        caller_here: Callable[[], bool],
        remaining: float | None,
        ask_remaining: Callable[[], Awaitable[float | None]],
        *,
        spoken_before: bool,
    ) -> None:
        """Begin to listen, speak first if the configuration says so, and watch silence and time.

        The call ends in `remaining` seconds; None if that is unknown. `spoken_before` tells whether
        the caller has spoken in the meantime.
        """
        if spoken_before or not self._history.complete:
            self._unanswered.heard()
        self.session.input.set_audio_enabled(True)
        self._opening = asyncio.create_task(self._speak_first(caller_present), name="opening")
        policy, warning = self._config.silence or SilencePolicy(), self._config.max_duration_warning

        def end_call() -> None:
            if self._ending.note(ReportEnd.SILENCE):
                self._finishing = asyncio.create_task(
                    self.finish(policy.goodbye_text, GOODBYE_SECONDS), name="silence_goodbye"
                )

        silence = SilenceWatch(
            self.session,
            policy,
            caller_here,
            nudge=lambda: self._speak(self._words.fill(policy.nudge_text), NUDGE),
            end_call=end_call,
        )
        for watch in (AnswerWatch(self.session), silence):
            watch.start()
            self._watches.append(watch.stop)
        if warning is not None and remaining is not None:
            waiting = warn_in_time(
                warning.seconds_before,
                remaining,
                speak=lambda: self._speak(self._words.fill(warning.text), TIME_WARNING),
                ask_remaining=ask_remaining,
            )
            self._watches.append(asyncio.create_task(waiting, name="time_warning").cancel)

    async def finish(self, goodbye: str | None = None, within: float = FINISH_SECONDS) -> None:
        """Say a goodbye with its variables filled in, or let the current sentence end; then close.

        After `within` seconds the session is closed in any case.
        """
        for stop in self._watches:
            stop()
        if self._opening is not None:
            self._opening.cancel()
        try:
            async with asyncio.timeout(within):
                if words := self._words.fill(goodbye):
                    await self.session.interrupt(force=True)
                    speech = self._speak(words, "", allow_interruptions=False)
                else:
                    speech = self.session.current_speech
                if speech is not None:
                    await speech.wait_for_playout()
        except TimeoutError:
            log.info("speech_cut_at_finish")
        finally:
            self.session.shutdown(drain=False)

    async def _speak_first(self, caller_present: asyncio.Task[rtc.RemoteParticipant]) -> None:
        caller = await caller_present
        if caller.kind != rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD:
            # Phone networks cancel echoes. The SDK has no public way to say so this late.
            self.session._on_aec_warmup_expired()  # pyright: ignore[reportPrivateUsage]
        known = self._history.complete
        turns = self._history.turns
        # What is missing may be the greeting, or the answer to the caller's last turn.
        greets = known and greeting_is_due(turns) and self._words.agent_speaks_first
        if greets:
            self._speak(self._words.greeting, UNPROMPTED_GREETING)
        typed = self._typed.take()
        self._answering = asyncio.create_task(self._answer_typed(), name="typed_text")
        self._watches.append(self._answering.cancel)
        if typed:
            self.session.generate_reply(user_input=typed)
        elif greets:
            return
        elif known and turns and turns[-1].role is Role.USER:
            # The previous agent died before it had answered.
            self.session.generate_reply()
        elif self._replaces:
            await self._ask_again()

    async def _ask_again(self) -> None:
        """Ask the caller to repeat what the previous agent, or nobody, has heard."""
        policy = self._config.recovery or RecoveryPolicy()
        if policy.enabled and await self._unanswered.until_quiet():
            log.info("caller_asked_to_repeat")
            self._speak(self._words.fill(policy.text), RECOVERY)

    def _speak(
        self, text: str | None, instructions: str, allow_interruptions: NotGivenOr[bool] = NOT_GIVEN
    ) -> SpeechHandle:
        """Say these words, or without them let the model follow the instructions."""
        if text and self._speaks_verbatim():
            return self.session.say(text, allow_interruptions=allow_interruptions)
        if text:
            instructions = f"Say exactly the following words, and nothing else: {text}"
        return self.session.generate_reply(instructions=instructions)

    def _speaks_verbatim(self) -> bool:
        """Whether the current agent can say given words."""
        voice, model = self._of_the_agent("tts"), self._of_the_agent("llm")
        says = isinstance(model, RealtimeModel) and model.capabilities.supports_say
        return voice is not None or says

    def _of_the_agent(self, part: str) -> object:
        """The current agent's `tts` or `llm`, or else the session's."""
        own: object = getattr(self.session.current_agent, part)
        return own if is_given(own) else getattr(self.session, part)

    async def _answer_typed(self) -> None:
        """Answer what the caller types; messages that follow each other closely together."""
        while True:
            text = await self._typed.next()
            try:
                await self.session.interrupt()
                self.session.generate_reply(user_input=text)
            except RuntimeError as error:  # it must not be interrupted now, or is about to end
                log.warning("typed_text_not_answered", error=str(error))
            await asyncio.sleep(TYPED_SECONDS)

    def _is_caller(self, identity: str) -> bool:
        """Whether the agent listens to this participant."""
        linked = self.session.room_io.linked_participant if self._started else None
        expected = linked.identity if linked else self._caller_identity
        return expected in (None, identity)


def greeting_is_due(history: list[Turn]) -> bool:
    """Whether no greeting was finished: the previous agent may have died during it."""
    return all(turn.role is Role.ASSISTANT and turn.interrupted for turn in history)


def _describe(event: CloseEvent) -> str:
    """The error that closed a session, without its message: that may quote the conversation."""
    error = event.error
    if error is None:
        return "the session was closed by an error"
    cause = getattr(error, "error", None)
    if isinstance(cause, EngineUnavailable):
        return f"{error.type}: {cause}"
    status = getattr(cause, "status_code", None)
    known = f" with status {status}" if isinstance(status, int) and status > 0 else ""
    return f"{error.type} of {getattr(error, 'label', 'the engine')}: {type(cause).__name__}{known}"
