"""Google's Gemini Live.

A session has no time limit: the context window slides, and when Google announces the end of a
connection (after about ten minutes), the plugin opens another that resumes it, or sends the history
if Google has given no handle to resume by.
"""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import re
from typing import cast

import structlog
from google.genai import types
from livekit.agents import NOT_GIVEN
from livekit.agents.llm import RealtimeModel
from livekit.plugins import google
from livekit.plugins.google.realtime.realtime_api import RealtimeSession

from agent.engines.realtime.answering import AnsweringSession
from agent.engines.realtime.engine import CONNECTION, RealtimeChoice, WatchedModel

log = structlog.stdlib.get_logger(__name__)

_BEFORE_THE_END_SECONDS = 1.0
_POLL_SECONDS = 0.1
_SECONDS = re.compile(r"^(\d+(?:\.\d+)?)s$")


class GeminiSession(AnsweringSession, RealtimeSession):
    """A session that changes connections between sentences.

    It overrides and reads private parts of the plugin; a test guards them.
    """

    async def update_instructions(self, instructions: str) -> None:
        """Send the instructions, with the language if the model takes no language code."""
        if code := _language_in_words(cast(_GeminiModel, self.realtime_model).choice):
            instructions = f"{instructions}\n\nSpeak the language with the code {code}."
        await super().update_instructions(instructions)

    def _handle_go_away(self, go_away: types.LiveServerGoAway) -> None:
        match = _SECONDS.match(go_away.time_left or "")
        left = float(match.group(1)) if match else 0.0
        self._changing = asyncio.create_task(self._reconnect(go_away, left), name="gemini-go-away")

    async def _reconnect(self, go_away: types.LiveServerGoAway, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds - _BEFORE_THE_END_SECONDS, 0)):
                # The plugin has neither an event for this nor a public sign of it.
                while (spoken := self._current_generation) and not spoken._done:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            log.info("realtime_sentence_cut_by_the_provider", provider="google")
        super()._handle_go_away(go_away)


class _GeminiModel(WatchedModel, google.realtime.RealtimeModel):
    session_class = GeminiSession


def gemini(choice: RealtimeChoice) -> RealtimeModel:
    """A Gemini Live model."""
    code = None if _language_in_words(choice) else choice.language
    return _GeminiModel(
        **choice.common,
        vertexai=False,
        language=code or NOT_GIVEN,
        realtime_input_config=_turns(choice),
        context_window_compression=types.ContextWindowCompressionConfig(
            sliding_window=types.SlidingWindow()
        ),
        http_options=types.HttpOptions(
            base_url=choice.inputs.settings.google_gemini_base_url,
            timeout=int(CONNECTION.timeout * 1000),
        ),
        conn_options=CONNECTION,
    )


def _language_in_words(choice: RealtimeChoice) -> str | None:
    """The language for the instructions: native audio models refuse a language code."""
    return choice.language if "native-audio" in choice.descriptor.model else None


def _turns(choice: RealtimeChoice) -> types.RealtimeInputConfig:
    """Gemini detects the end of a turn; a low sensitivity ends fewer turns at a pause."""
    detection = types.AutomaticActivityDetection()
    if choice.turns_by_meaning:
        detection.end_of_speech_sensitivity = types.EndSensitivity.END_SENSITIVITY_LOW
    return types.RealtimeInputConfig(automatic_activity_detection=detection)
