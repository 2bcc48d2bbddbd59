"""A client for OpenAI-compatible chat completions; it never offers tools."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from adapters.http.bodies import AnswerTooLong, body_of
from adapters.summarisers.openai_errors import meaning_of, refuses_format
from domain.errors import InvalidInput, Unavailable

DEFAULT_BASE_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4.1-mini"
TIME_LIMIT_SECONDS = 60.0
MOST_ANSWER_BYTES = 4 * 1024 * 1024
"""Far above any model's longest answer, and small enough to read safely."""
_READ = ("content-type", "retry-after")
"""The response headers that are used."""

Message = dict[str, str]
"""`role` and `content`."""


@dataclass(frozen=True)
class Question:
    """A request to a model; without `response_format` it answers in plain text."""

    messages: list[Message]
    response_format: dict[str, Any] | None = None


class ChatModel:
    """One model on one server, OpenAI's by default.

    `time_limit` is in seconds, for one answer with all requests that it takes. The key may be
    empty for servers without keys.
    """

    def __init__(
        self,
        api_key: str,
        *,
        model: str = DEFAULT_MODEL,
        base_url: str | None = None,
        time_limit: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self.model = model
        self._url = f"{(base_url or DEFAULT_BASE_URL).rstrip('/')}/chat/completions"
        self._time_limit = time_limit
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(time_limit, connect=5)
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def answer(self, question: Question, plainer: Question) -> str:
        """The model's answer; `plainer` is sent if the server does not know the first's format.

        Raises:
            Unavailable: the server is away, slow or overloaded, or its answer is empty or too long.
            InvalidInput: key, model or URL are wrong, or the model refuses.
        """
        try:
            async with asyncio.timeout(self._time_limit):
                response = await self._ask(question)
                if refuses_format(response):
                    response = await self._ask(plainer)
        except (TimeoutError, httpx.TimeoutException):
            raise Unavailable(
                f"the summariser at {self._url} did not answer within {self._time_limit:g} s"
            ) from None
        except AnswerTooLong:
            raise Unavailable(f"the answer of the summariser at {self._url} is too long") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise InvalidInput(
                "the summariser's URL is malformed", field="SUMMARISER_BASE_URL"
            ) from None
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the summariser at {self._url} cannot be reached: {type(error).__name__}"
            ) from None
        if not response.is_success:
            raise meaning_of(response, self._url, self.model)
        return _content(response)

    async def _ask(self, question: Question) -> httpx.Response:
        request: dict[str, Any] = {"model": self.model, "messages": question.messages}
        if question.response_format:
            request["response_format"] = question.response_format
        async with self._http.stream("POST", self._url, json=request) as response:
            body = await body_of(response, MOST_ANSWER_BYTES)
        kept = {name: response.headers[name] for name in _READ if name in response.headers}
        return httpx.Response(response.status_code, headers=kept, content=body)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def _content(response: httpx.Response) -> str:
    try:
        choice = _Completion.model_validate_json(response.content).choices[0]
    except ValidationError:
        raise Unavailable("the summariser's answer is not a chat completion") from None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise InvalidInput("the model refused to summarise this call")
    content = (choice.message.content or "").strip()
    if not content:
        raise Unavailable("the summariser's answer is empty")
    return content


def unfenced(content: str) -> str:
    """An answer without the code fence that some models put around JSON."""
    return content.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
