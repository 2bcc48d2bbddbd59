"""Summaries by a model behind any server that speaks OpenAI's chat completions."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import httpx
from pydantic import BaseModel, Field, ValidationError

from adapters.summarisers.openai_errors import meaning_of, refuses_format
from adapters.summarisers.prompt import (
    AS_JSON,
    AS_TEXT,
    INSTRUCTIONS,
    RESPONSE_FORMAT,
    wrapped,
)
from domain.errors import InvalidInput, Unavailable
from domain.ports import Summariser
from domain.transcript import Turn

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4.1-mini"
TIME_LIMIT_SECONDS = 60.0
MAX_SUMMARY_CHARS = 4_000


class OpenAISummariser(Summariser):
    """The port `Summariser` on `{base_url}/chat/completions`, without tools.

    Asks for JSON by schema; a server that does not know that is asked for plain text.
    """

    def __init__(
        self,
        api_key: str,
        *,
        model: str = DEFAULT_MODEL,
        base_url: str | None = None,
        time_limit: float = TIME_LIMIT_SECONDS,
    ) -> None:
        """Take what the server needs.

        Args:
            api_key: sent as bearer token; may be empty for servers without keys.
            model: the model's name there.
            base_url: OpenAI's if None.
            time_limit: seconds for one summary, with all requests that it takes.
        """
        self._model = model
        self._url = f"{(base_url or DEFAULT_BASE_URL).rstrip('/')}/chat/completions"
        self._time_limit = time_limit
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(time_limit, connect=5)
        )

    @property
    def name(self) -> str:
        """For the summary's record."""
        return f"openai/{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def summarise(self, turns: Sequence[Turn]) -> str:
        """A summary of at most `MAX_SUMMARY_CHARS` characters.

        Raises:
            Unavailable: the server is away, too slow, overloaded, or answers with nothing.
            InvalidInput: key, model or URL are wrong, or the model refuses.
        """
        if not any(turn.text.strip() for turn in turns):
            return "Nobody said anything in this call."
        transcript = wrapped(turns)
        try:
            async with asyncio.timeout(self._time_limit):
                response = await self._ask(transcript, as_json=True)
                if refuses_format(response):
                    response = await self._ask(transcript, as_json=False)
        except (TimeoutError, httpx.TimeoutException):
            raise Unavailable(
                f"the summariser at {self._url} did not answer within {self._time_limit:g} s"
            ) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise InvalidInput(
                "the summariser's URL is not one", field="SUMMARISER_BASE_URL"
            ) from None
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the summariser at {self._url} cannot be reached: {type(error).__name__}"
            ) from None
        if not response.is_success:
            raise meaning_of(response, self._url, self._model)
        return _summary(response)

    async def _ask(self, transcript: str, *, as_json: bool) -> httpx.Response:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [
                {"role": "system", "content": INSTRUCTIONS + (AS_JSON if as_json else AS_TEXT)},
                {"role": "user", "content": transcript},
            ],
        }
        if as_json:
            request["response_format"] = RESPONSE_FORMAT
        return await self._http.post(self._url, json=request)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def _summary(response: httpx.Response) -> str:
    try:
        choice = _Completion.model_validate_json(response.content).choices[0]
    except ValidationError:
        raise Unavailable("the summariser's answer is not a chat completion") from None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise InvalidInput("the model refused to summarise this call")
    text = _text(choice.message.content or "")
    if not text:
        raise Unavailable("the summariser's answer is empty")
    return text if len(text) <= MAX_SUMMARY_CHARS else text[: MAX_SUMMARY_CHARS - 1] + "…"


def _text(content: str) -> str:
    """The summary in an answer: in JSON as asked for, fenced or not, else the answer itself."""
    plain = content.strip()
    unfenced = plain.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        parsed: object = json.loads(unfenced)
    except (ValueError, RecursionError):
        return plain
    if isinstance(parsed, dict):
        summary = cast(dict[str, object], parsed).get("summary")
        return summary.strip() if isinstance(summary, str) else ""
    return parsed.strip() if isinstance(parsed, str) else plain
