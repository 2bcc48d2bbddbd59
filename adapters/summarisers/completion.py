"""Reading the responses of OpenAI-compatible servers: text, a refusal, or no answer at all."""

import json
from typing import Any, cast

import httpx
from pydantic import BaseModel, Field, ValidationError

from domain.errors import InvalidInput, Unavailable

_CUT_OFF = {"length", "max_tokens", "model_length", "model_context_window_exceeded"}
_FILTERED = {
    *("blocklist", "content_filter", "guardrail_intervened", "prohibited_content", "recitation"),
    *("refusal", "safety", "sensitive", "spii"),
}
_BROKEN_OFF = {"abort", "error", "insufficient_system_resource", "network_error"}
_STATUS_OF = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "invalid_request_error": 400,
}
_CHECK_URL = "check SUMMARISER_BASE_URL; it usually ends with /v1"
_NO_REASONING = "turn its reasoning off at the server, or use another SUMMARISER_MODEL"


class Unusable(Exception):
    """The server answered, but not with what was requested; asking once more may help.

    The message quotes nothing of the answer. `text` is the answer, if the model wrote one.
    """

    def __init__(self, reason: str, *, text: str = "", cure: str | None = None) -> None:
        super().__init__(reason)
        self.text = text
        self.cure = cure or "use another SUMMARISER_MODEL"


class _Message(BaseModel):
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def with_real_status(response: httpx.Response) -> httpx.Response:
    """The response; if it is a success with an error in its body, with that error's status."""
    error = _error_in(_json(response)) if response.is_success else None
    if not error:
        return response
    names = (
        [str(error.get(key)).lower() for key in ("code", "type")] if isinstance(error, dict) else []
    )
    codes = [int(name) if name.isdecimal() else _STATUS_OF.get(name, 0) for name in names]
    status = next((code for code in codes if 400 <= code < 600), 500)
    return httpx.Response(status, headers=response.headers, json={"error": error})


def _json(response: httpx.Response) -> object:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _error_in(body: object) -> dict[str, Any] | str | None:
    if isinstance(body, list) and len(cast(list[object], body)) == 1:
        body = cast(list[object], body)[0]
    if not isinstance(body, dict):
        return None
    fields = cast(dict[str, Any], body)
    choices: object = fields.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        fields = {"error": cast(dict[str, Any], choices[0]).get("error")} | fields
    error: object = fields if fields.get("object") == "error" else fields.get("error")
    return cast(dict[str, Any], error) if isinstance(error, dict) else str(error or "")


def text_of(response: httpx.Response) -> str:
    """The text of a chat completion.

    Raises:
        Unusable: it has none.
        InvalidInput: the model or a filter refused, or the answer was cut off at a limit.
        Unavailable: the server broke off, or a page of some proxy came instead.
    """
    try:
        choice = _Completion.model_validate(_json(response)).choices[0]
    except ValidationError:
        if response.content.lstrip()[:1] == b"<":
            raise Unavailable("the summariser answered with a web page", cure=_CHECK_URL) from None
        raise Unusable("it is not a chat completion", cure=_CHECK_URL) from None
    message = choice.message
    finish = str(choice.finish_reason).lower()
    if message.refusal or finish in _FILTERED or _has_refusal(message.content):
        raise InvalidInput("the model, or a content filter before it, refused to read this call")
    if finish in _BROKEN_OFF:
        raise Unavailable(f"the summariser broke off its answer ({finish})")
    text = _text(message.content).strip()
    # Some servers go on with white space after a complete object, up to the limit.
    if finish in _CUT_OFF and not text.rstrip("`\n").endswith("}"):
        raise InvalidInput(
            "the model's answer was cut off at the limit of its output tokens",
            field="SUMMARISER_MODEL",
            cure=f"raise the limit at the server; if the model reasons, {_NO_REASONING}",
        )
    if text:
        return text
    if message.tool_calls or message.function_call:
        raise Unusable("it is a call of a tool, and no tool was offered")
    if message.content or message.reasoning or message.reasoning_content:
        raise Unusable("it has reasoning and no text", cure=_NO_REASONING)
    raise Unusable("it is empty")


def _parts(content: object) -> list[object]:
    return cast(list[object], content) if isinstance(content, list) else [content]


def _text(content: object) -> str:
    return "".join(map(_text_of_part, _parts(content)))


def _text_of_part(part: object) -> str:
    if isinstance(part, dict):
        fields = cast(dict[str, Any], part)
        if fields.get("type", "text") not in ("text", "output_text") or fields.get("thought"):
            return ""
        return _text_of_part(fields.get("text") or fields.get("value"))
    return part if isinstance(part, str) else ""


def _has_refusal(content: object) -> bool:
    return any(
        isinstance(part, dict) and cast(dict[str, Any], part).get("type") == "refusal"
        for part in _parts(content)
    )
