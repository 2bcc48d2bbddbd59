"""Summaries by a model on an OpenAI-compatible server."""

import json
from collections.abc import Sequence
from typing import cast

from typing_extensions import override

from adapters.summarisers.chat import ChatModel, Question, unfenced
from adapters.summarisers.prompt import (
    AS_JSON,
    AS_TEXT,
    INSTRUCTIONS,
    RESPONSE_FORMAT,
    wish,
    wrapped,
)
from domain.errors import Unavailable
from domain.transcripts.ports import Summariser
from domain.transcripts.transcript import Turn

MAX_SUMMARY_CHARS = 4_000


class OpenAISummariser(Summariser):
    """Requests JSON by a schema, or plain text if the server does not support that."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat

    @property
    @override
    def name(self) -> str:
        return f"openai/{self._chat.model}"

    @override
    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        if not any(turn.text.strip() for turn in turns):
            return "Nobody said anything in this call."
        transcript = {"role": "user", "content": wrapped(turns)}
        instructions = INSTRUCTIONS + wish(prompt)
        content = await self._chat.answer(
            Question(
                [{"role": "system", "content": instructions + AS_JSON}, transcript],
                RESPONSE_FORMAT,
            ),
            Question([{"role": "system", "content": instructions + AS_TEXT}, transcript]),
        )
        # Lone surrogates, which JSON can contain, could be neither stored nor sent.
        text = _text(content).encode(errors="replace").decode()
        if not text:
            raise Unavailable("the summariser's answer is empty")
        return text if len(text) <= MAX_SUMMARY_CHARS else text[: MAX_SUMMARY_CHARS - 1] + "…"


def _text(content: str) -> str:
    """The summary in an answer: from its JSON, fenced or not, or the whole answer."""
    plain = content.strip()
    try:
        parsed: object = json.loads(unfenced(plain))
    except (ValueError, RecursionError):
        return plain
    if isinstance(parsed, dict):
        summary = cast(dict[str, object], parsed).get("summary")
        return summary.strip() if isinstance(summary, str) else ""
    return parsed.strip() if isinstance(parsed, str) else plain
