"""Summaries by a model on an OpenAI-compatible server."""

from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import override

from adapters.summarisers.chat import ChatModel
from adapters.summarisers.completion import Unusable
from adapters.summarisers.model_text import answer_in, json_objects, prose_in, refuses
from adapters.summarisers.prompt import AS_JSON, INSTRUCTIONS, RESPONSE_FORMAT, wish, wrapped
from domain.errors import InvalidInput
from domain.transcripts.ports import Summariser
from domain.transcripts.transcript import Turn

MAX_SUMMARY_CHARS = 4_000


class OpenAISummariser(Summariser):
    """Requests JSON by a schema; plain text is accepted if it is nothing but a summary."""

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
        system = INSTRUCTIONS + wish(prompt) + AS_JSON
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": wrapped(turns)},
        ]
        try:
            text = await self._chat.ask(messages, RESPONSE_FORMAT, _summary)
        except Unusable as fault:
            raise InvalidInput(
                f"the model's answer was not a summary, twice: {fault}",
                field="SUMMARISER_MODEL",
                cure=fault.cure,
            ) from None
        return text if len(text) <= MAX_SUMMARY_CHARS else text[: MAX_SUMMARY_CHARS - 1] + "…"


def _summary(answer: str) -> str:
    """The summary in an answer."""
    objects = json_objects(answer)
    told = [_told(found) for found in objects] if objects else [prose_in(answer)]
    text = next(filter(None, told), "")
    if refuses(text or answer_in(answer)):
        raise InvalidInput("the model refused to summarise this call")
    if not any(map(str.isalnum, text)):
        raise Unusable("it has no summary in the form that was requested", text=answer)
    # Lone surrogates, which JSON can contain, could be neither stored nor sent.
    return text.encode(errors="replace").decode()


def _told(found: dict[str, Any]) -> str:
    """The text of `summary` in an object, or in an object that it wraps."""
    for holder in (found, *found.values()):
        summary: object = (
            cast(dict[str, Any], holder).get("summary") if isinstance(holder, dict) else None
        )
        if isinstance(summary, str):
            # A summary may quote data; one that is data itself holds the summary in it, or none.
            is_data = summary.lstrip().startswith(("{", "[", "`"))
            inner = json_objects(summary) if is_data else []
            return _told(inner[0]) if inner else answer_in(summary)
    return ""
