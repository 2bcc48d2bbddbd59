"""A stage of the pipeline whose provider is away: an answer that could not be had at all."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any

from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ErrorEvent,
    SpeechCreatedEvent,
)
from livekit.agents.voice import SpeechHandle

_STAGES = {"stt_error": "stt", "llm_error": "llm", "tts_error": "tts"}
_NOT_NOW = (408, 429)


class FailedStages:
    """Notices the first turn that stays silent because a stage's last model cannot be reached.

    The SDK has tried it several times by then, and goes on for three more turns in which the caller
    hears nothing. What a model says no to is left to it: the next turn may please the model.

    Args:
        session: the conversation.
        handle: called with the reason; more than once, perhaps.
    """

    def __init__(self, session: AgentSession[Any], handle: Callable[[str], None]) -> None:
        self._session = session
        self._handle = handle
        self._why: str | None = None
        """Why the answer that is due could not be had, until something is heard."""
        session.on("error", self._failed)
        session.on("speech_created", self._created)
        session.on("agent_state_changed", self._changed)

    def _failed(self, event: ErrorEvent) -> None:
        why = _outage(event.error)
        if why is None:
            return
        if why.startswith("stt") or self._why is not None:
            # What the caller said is lost, or it is the second answer.
            self._handle(why)
        elif self._session.agent_state != "speaking":
            # The answer may have begun all the same: its end tells.
            self._why = why

    def _created(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._over)

    def _over(self, speech: SpeechHandle) -> None:
        # One that the caller cut off need not have been silent for long.
        if self._why is not None and not speech.interrupted:
            self._handle(self._why)

    def _changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._why = None


def _outage(error: Any) -> str | None:
    """What is wrong if the provider is away; without the message: it may quote the conversation."""
    stage = _STAGES.get(getattr(error, "type", ""))
    if stage is None or error.recoverable:
        return None
    match error.error:
        case APITimeoutError():
            what = "does not answer in time"
        case APIConnectionError():
            what = "cannot be reached"
        case APIStatusError(status_code=status) if not 400 <= status < 500 or status in _NOT_NOW:
            # Without a status it is a connection that was closed.
            what = f"cannot serve now (status {status})" if status > 0 else "closes the connection"
        case _:
            return None
    return f"{stage}: {error.label} {what}"
