"""Summaries by a model behind any server that speaks OpenAI's chat completions."""

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
    """The port `Summariser`: asks for JSON by schema, or for plain text where that is not known."""

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
        # Half of a surrogate pair, which JSON can name, could be neither stored nor answered.
        text = _text(content).encode(errors="replace").decode()
        if not text:
            raise Unavailable("the summariser's answer is empty")
        return text if len(text) <= MAX_SUMMARY_CHARS else text[: MAX_SUMMARY_CHARS - 1] + "…"


def _text(content: str) -> str:
    """The summary in an answer: in JSON as asked for, fenced or not, else the answer itself."""
    plain = content.strip()
    try:
        parsed: object = json.loads(unfenced(plain))
    except (ValueError, RecursionError):
        return plain
    if isinstance(parsed, dict):
        summary = cast(dict[str, object], parsed).get("summary")
        return summary.strip() if isinstance(summary, str) else ""
    return parsed.strip() if isinstance(parsed, str) else plain
