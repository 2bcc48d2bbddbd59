"""Waiting until a provider has accepted a session, and what its refusal means.

The plugins connect in the background, where a failure would mean silence for the caller.

Reasons hold statuses, codes and parameters only: a provider's message may quote the key or the
conversation.
"""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics

from agent.engines.parts import EngineFault, EngineUnavailable
from agent.engines.providers.plugins import PLUGINS
from domain.agents.descriptors import Descriptor

log = structlog.stdlib.get_logger(__name__)

ACCEPT_SECONDS = 8.0
"""Time limit from the session's creation. The later claim shares its budget of 20 s with this."""
_ANSWERS: Mapping[str, str] = dict.fromkeys(("openai", "xai"), "openai_server_event_received")
"""The event by provider that shows whether a session is accepted, if not `metrics_collected`."""
_KEY_CODES = {"401", "invalid_api_key", "account_deactivated"}
_FORBIDDEN = "403"
"""An account without the model, or a compatible server without realtime models."""
_QUOTA = {"402", "insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"}
_TEMPORARY_CODES = {"408", "425", "429", "rate_limit_exceeded", "server_error", "session_expired"}
_CLOSED_FOR_GOOD = {"1007", "1008"}
"""WebSocket close codes by which Gemini refuses a setup: invalid argument, policy."""
_HTTP_STATUS = re.compile(r"^HTTP (\d{3})")


class Acceptance:
    """A provider's answer to the first connection of a session."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._decided = asyncio.Event()
        self._problem: EngineFault | EngineUnavailable | None = None
        self._deadline: float | None = None

    def watch(self, session: llm.RealtimeSession[Any]) -> None:
        """Listen for the acceptance and the failures of a new session."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + ACCEPT_SECONDS
        session.on("error", self._failed)
        session.on(_ANSWERS.get(self._descriptor.provider, "metrics_collected"), self._answered)

    async def wait(self) -> None:
        """Return when the provider has accepted the session.

        Raises:
            EngineFault: it refuses the session, and would do so again.
            EngineUnavailable: it has not accepted in time, or cannot now.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._decided.wait()
        except TimeoutError:
            self._problem = self._problem or EngineUnavailable(
                f"{self._descriptor.provider} has not answered within {ACCEPT_SECONDS:g} s"
            )
        if self._problem is not None:
            raise self._problem

    def _answered(self, event: RealtimeModelMetrics | dict[str, Any]) -> None:
        """Accept by the first metrics of a connection, or by the answer to `session.update`.

        The metrics hold the time it took to connect. OpenAI and xAI open the socket for an unknown
        model as well; the update names model and voice.
        """
        if isinstance(event, RealtimeModelMetrics):
            accepted = event.acquire_time > 0
        else:
            accepted = event.get("type") == "session.updated"
        if accepted and not self._decided.is_set():
            self._problem = None
            self._decided.set()

    def _failed(self, event: llm.RealtimeModelError) -> None:
        if self._decided.is_set():
            return
        self._problem = _problem_of(event.error, self._descriptor)
        log.warning("realtime_provider_failed", why=str(self._problem))
        if isinstance(self._problem, EngineFault) or not event.recoverable:
            self._decided.set()


def _problem_of(error: BaseException, descriptor: Descriptor) -> EngineFault | EngineUnavailable:
    """The fault of the configuration or the account, or the provider's temporary failure."""
    provider, code = descriptor.provider, _code(error)
    session = f"a session with the model {descriptor.model!r}"
    field = "engine.llm"
    if code is None:
        return EngineUnavailable(f"{provider} cannot be reached ({type(error).__name__})")
    if code in _KEY_CODES or (code in _CLOSED_FOR_GOOD and _mentions_the_key(error)):
        field = PLUGINS[provider].key_setting
        problem, cure = f"{provider} refuses it", "set a valid key"
    elif code == _FORBIDDEN:
        problem = f"{provider} does not allow {session}"
        cure = "use a key that may use it, and a base URL with realtime models"
    elif code in _QUOTA:
        problem, cure = f"{provider}'s account has no quota", "check its billing"
    elif code in _TEMPORARY_CODES or code.startswith("5"):
        return EngineUnavailable(f"{provider} cannot take a session now ({code})")
    elif code.isdecimal() and code not in _CLOSED_FOR_GOOD and not code.startswith("4"):
        return EngineUnavailable(f"{provider} has closed the connection ({code})")
    else:
        problem = f"{provider} refuses {session}"
        cure = "use a model, voice and language that it offers, at a base URL with realtime models"
    return EngineFault(field, f"{problem} ({code})", cure)


def _code(error: BaseException) -> str | None:
    """The HTTP status, WebSocket close code or error code of an error or of what caused it."""
    for each in _chain(error):
        body: object = getattr(each, "body", None)
        if code := getattr(body, "code", None) or getattr(body, "type", None):
            param: object = getattr(body, "param", None)
            return f"{code}: {param}" if param and code not in _KEY_CODES else str(code)
        response: object = getattr(each, "response", None)
        for owner, name in ((each, "status"), (response, "status_code"), (each, "code")):
            value: object = getattr(owner, name, None)
            if isinstance(value, int) and value > 0:
                return str(value)
        if match := _HTTP_STATUS.match(str(each)):
            return match.group(1)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _mentions_the_key(error: BaseException) -> bool:
    return any("api key" in str(each).lower() for each in _chain(error))
