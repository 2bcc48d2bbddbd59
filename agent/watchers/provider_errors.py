"""Errors of the pipeline's providers after which the agent would only be silent.

The SDK continues for several turns after such an error, in which the caller hears nothing.
"""
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

_STAGES = ("stt", "llm", "tts")
_NOT_NOW = (408, 429)
_REFUSALS = {
    401: "refuses the key",
    403: "does not allow it for this account",
    404: "does not have the model",
}


class ProviderErrors:
    """Calls `handle` with a reason, perhaps more than once.

    At once when a provider refuses key or model. When a stage's last model cannot be reached, at
    the first turn that stays silent; the SDK has retried by then. Other refusals are left to the
    SDK, because the next turn may succeed. Reasons hold no messages: those may quote the
    conversation.
    """

    def __init__(self, session: AgentSession[Any], handle: Callable[[str], None]) -> None:
        self._session = session
        self._handle = handle
        self._outage: str | None = None
        """Why the due answer failed, until the agent speaks."""
        session.on("error", self._failed)
        session.on("speech_created", self._created)
        session.on("agent_state_changed", self._changed)

    def _failed(self, event: ErrorEvent) -> None:
        fault = _fault(event.error)
        if fault is None:
            return
        reason, is_refusal = fault
        if is_refusal or reason.startswith("stt") or self._outage is not None:
            # It will not work, the caller's words are lost, or it is the second answer.
            self._handle(reason)
        elif self._session.agent_state != "speaking":
            # The answer may have begun all the same; `_over` decides.
            self._outage = reason

    def _created(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._over)

    def _over(self, speech: SpeechHandle) -> None:
        # A speech that the caller interrupted need not have been silent for long.
        if self._outage is not None and not speech.interrupted:
            self._handle(self._outage)

    def _changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._outage = None


def _fault(error: Any) -> tuple[str, bool] | None:
    """Why a provider cannot serve, and whether it refuses for good; None if the SDK goes on."""
    cause = getattr(error, "error", None)
    if cause is None or getattr(error, "recoverable", True):
        return None
    stage = str(getattr(error, "type", "error")).removesuffix("_error")
    refusal = _REFUSALS.get(getattr(cause, "status_code", 0))
    match cause:
        case APIStatusError(status_code=status) if refusal:
            what = f"{refusal} (status {status})"
        case _ if stage not in _STAGES:
            return None
        case APITimeoutError():
            what = "does not answer in time"
        case APIConnectionError():
            what = "cannot be reached"
        case APIStatusError(status_code=status) if not 400 <= status < 500 or status in _NOT_NOW:
            # Without a status the connection was closed.
            what = f"cannot serve now (status {status})" if status > 0 else "closes the connection"
        case _:
            return None
    label = getattr(error, "label", "the provider")
    return f"{stage}: {label} {what}", refusal is not None
