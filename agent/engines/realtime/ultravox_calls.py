"""Ultravox: a session is a series of its calls, each created with the conversation so far.

The plugin creates a new call for each connection without the history of the earlier ones, and ends
the session when Ultravox closes one. The overridden methods are private; a test guards them.
"""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import aiohttp
import structlog
from livekit.agents import NOT_GIVEN, APIConnectionError, llm
from livekit.agents.llm import RealtimeModel
from livekit.agents.utils import http_context
from livekit.plugins import ultravox
from livekit.plugins.ultravox.realtime.events import (
    TranscriptEvent,
    UltravoxEvent,
    UserTextMessageEvent,
)

from agent.engines.realtime.answering import AnsweringSession
from agent.engines.realtime.engine import RealtimeChoice, WatchedModel

log = structlog.stdlib.get_logger(__name__)

CALL_SECONDS = 60 * 60
"""Ultravox's default limit for a call. It is set in each call, which is replaced before its end."""
_BEFORE_THE_END_SECONDS = 10 * 60
_SHORT_CALL_SECONDS = 5.0
_MAX_SHORT_CALLS = 3
"""Calls in a row that Ultravox closes at once, before the session fails."""
_POLL_SECONDS = 0.1
_REQUEST = aiohttp.ClientTimeout(total=10)
_ROLES: Mapping[str, str] = {"user": "MESSAGE_ROLE_USER", "assistant": "MESSAGE_ROLE_AGENT"}


class UltravoxSession(AnsweringSession, ultravox.realtime.RealtimeSession):
    """A session that outlives its calls."""

    def __init__(self, realtime_model: ultravox.realtime.RealtimeModel) -> None:
        super().__init__(realtime_model)
        self._connected_at: float | None = None
        self._first_ordinal = 0
        self._next_ordinal = 0
        self._adds_context = False
        self._short_calls = 0

    def initial_messages(self) -> list[dict[str, str]]:
        """The conversation so far, for a new call."""
        return [
            {"role": _ROLES[message.role], "text": message.text_content}
            for message in self._chat_ctx.messages()
            if message.role in _ROLES and message.text_content
        ]

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        """Tell Ultravox what is new in the conversation."""
        if self._connected_at is None:
            # The first call will be created with it.
            self._chat_ctx = chat_ctx.copy()
            return
        self._adds_context = True
        try:
            await super().update_chat_ctx(chat_ctx)
        finally:
            self._adds_context = False

    def emit(self, event: Any, *args: Any) -> None:
        """Emit an event; a requested generation also resolves the pending request."""
        asked = self._pending_generation_fut
        if (
            event == "generation_created"
            and asked is not None
            and not asked.done()
            and self._pending_generation_epoch is not None
        ):
            generation = cast(llm.GenerationCreatedEvent, args[0])
            generation.user_initiated = True
            asked.set_result(generation)
            self._pending_generation_fut = None
            self._pending_generation_epoch = None
        super().emit(event, *args)

    def _send_client_event(self, event: UltravoxEvent | dict[str, Any]) -> None:
        # The plugin intends to defer these answers, but its event drops the field.
        if isinstance(event, UserTextMessageEvent) and (
            self._adds_context or event.urgency == "immediate"
        ):
            event = event.model_copy(update={"defer_response": True})
        super()._send_client_event(event)

    async def _recv_task(self, ws_conn: aiohttp.ClientWebSocketResponse) -> None:
        self._connected_at = time.monotonic()
        # Each call counts its transcripts from zero; the plugin derives ids from the count.
        self._first_ordinal = self._next_ordinal
        recycling = asyncio.create_task(self._recycle(), name="ultravox-recycle")
        try:
            await super()._recv_task(ws_conn)
        except APIConnectionError:
            short = time.monotonic() - self._connected_at < _SHORT_CALL_SECONDS
            self._short_calls = self._short_calls + 1 if short else 0
            if self._short_calls >= _MAX_SHORT_CALLS:
                raise
            log.warning("realtime_connection_lost", provider="ultravox")
            self._mark_restart_needed()
        finally:
            recycling.cancel()

    async def _recycle(self) -> None:
        await asyncio.sleep(_call_seconds(cast(_UltravoxModel, self.realtime_model).choice))
        while self._current_generation is not None:  # noqa: ASYNC110 - the plugin has no event
            await asyncio.sleep(_POLL_SECONDS)
        log.info("realtime_connection_recycled", provider="ultravox")
        self._mark_restart_needed()

    def _handle_transcript_event(self, event: TranscriptEvent) -> None:
        # Ultravox repeats typed text, including instructions, which nobody said.
        if event.role == "user" and event.medium != "voice":
            return
        ordinal = self._first_ordinal + event.ordinal
        self._next_ordinal = max(self._next_ordinal, ordinal + 1)
        super()._handle_transcript_event(event.model_copy(update={"ordinal": ordinal}))

    def _handle_response_done(self) -> None:
        spoken = self._current_generation
        super()._handle_response_done()
        if spoken is None or not spoken.output_text:
            return
        if self._chat_ctx.get_by_id(spoken.response_id) is None:
            self._chat_ctx.add_message(
                role="assistant", content=spoken.output_text, id=spoken.response_id
            )


class _CallsWithHistory:
    """The part of an HTTP client that the plugin uses: the only way to set `initialMessages`."""

    def __init__(self, session: UltravoxSession | None) -> None:
        self._session = session

    def post(
        self, url: str, *, json: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Create a call with the conversation so far."""
        said = self._session.initial_messages() if self._session else []
        body = {**json, "initialMessages": said} if said else json
        return http_context.http_session().post(url, json=body, headers=headers, timeout=_REQUEST)

    async def ws_connect(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """Join a call."""
        async with asyncio.timeout(_REQUEST.total):
            return await http_context.http_session().ws_connect(url)


class _UltravoxModel(WatchedModel, ultravox.realtime.RealtimeModel):
    session_class = UltravoxSession
    latest: UltravoxSession | None = None

    def session(self, *, turn_detection_disabled: bool = False) -> UltravoxSession:
        session = self.latest = super().session(turn_detection_disabled=turn_detection_disabled)
        return session

    def _ensure_http_session(self) -> aiohttp.ClientSession:
        return cast(aiohttp.ClientSession, _CallsWithHistory(self.latest))


def ultravox_realtime(choice: RealtimeChoice) -> RealtimeModel:
    """A model of Ultravox, which detects the end of a turn in one way only."""
    return _UltravoxModel(
        **choice.common,
        base_url=choice.inputs.settings.ultravox_base_url,
        language_hint=choice.language or NOT_GIVEN,
        max_duration=f"{round(_call_seconds(choice) + _BEFORE_THE_END_SECONDS)}s",
    )


def _call_seconds(choice: RealtimeChoice) -> float:
    """Seconds after which a call is replaced."""
    return choice.session_seconds(CALL_SECONDS - _BEFORE_THE_END_SECONDS)
