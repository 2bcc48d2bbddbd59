"""A provider that refuses what the agent is made of: trying again in this call does not help."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any

import structlog
from livekit.agents import AgentSession, APIStatusError, ErrorEvent

log = structlog.stdlib.get_logger(__name__)

_REFUSALS = {
    401: "refuses the key",
    403: "does not allow it for this account",
    404: "does not have the model",
}


def on_refusal(session: AgentSession[Any], handle: Callable[[str], None]) -> None:
    """Call `handle` with a reason when a provider refuses key or model.

    The SDK goes on for several turns after such an error, in which the caller hears nothing.
    """

    def failed(event: ErrorEvent) -> None:
        cause = getattr(event.error, "error", None)
        if getattr(event.error, "recoverable", True) or not isinstance(cause, APIStatusError):
            return
        what = _REFUSALS.get(cause.status_code)
        if what is not None:
            kind = str(getattr(event.error, "type", "error")).removesuffix("_error")
            label = getattr(event.error, "label", "the provider")
            # Without its message: that may quote the conversation.
            handle(f"{kind}: {label} {what} (status {cause.status_code})")

    session.on("error", failed)
