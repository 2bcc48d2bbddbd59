"""Errors of OpenAI-compatible servers: what is left out of the request, and what is final."""

import pytest

from adapters.summarisers import OpenAISummariser
from domain.errors import InvalidInput, Unavailable
from tests.adapters.mongo.examples import conversation
from tests.fakes.openai_chat import Answer, ChatRequest, FakeChatServer, completion, error

CALL = conversation("caller: I would like to book a table.", "agent: Booked for seven.")
GOOD = completion('{"summary": "They agreed."}')


def asked(request: ChatRequest) -> tuple[bool, list[str]]:
    """Whether a request names a format, and the roles of its messages."""
    return "response_format" in request.body, [one["role"] for one in request.body["messages"]]


NO_SYSTEM_ROLE = [
    error(400, None, "System role not supported"),
    error(400, None, "Only user and assistant roles are supported!"),
    error(400, None, "Conversation roles must alternate user/assistant/user/assistant/..."),
    error(400, "unsupported_value", "'messages[0].role' does not support 'system' with this model"),
    error(400, None, "Developer instruction is not enabled for models/gemma-3-27b-it"),
    error(422, None, "Input should be 'user' or 'assistant'"),
    error(500, None, "Jinja Exception: Conversation roles must alternate user/assistant/..."),
    Answer(400, {"object": "error", "message": "System role not supported", "code": 400}),
    Answer(400, {"detail": "System role not supported"}),
    Answer(400, [{"error": {"code": 400, "message": "Developer instruction is not enabled"}}]),
    Answer(200, {"error": {"code": 400, "message": "System role not supported"}}),
]


@pytest.mark.parametrize("reason", NO_SYSTEM_ROLE, ids=range(len(NO_SYSTEM_ROLE)))
@pytest.mark.parametrize("without_format", [False, True])
async def test_a_model_without_a_system_role_gets_the_instructions_from_the_user(
    summariser: OpenAISummariser, server: FakeChatServer, reason: Answer, without_format: bool
) -> None:
    def reply(request: ChatRequest) -> Answer:
        has_format, roles = asked(request)
        if "system" in roles:
            return reason
        return error(400, None, "bad request") if without_format and has_format else GOOD

    server.reply = reply
    assert await summariser.summarise(CALL) == "They agreed."

    first, *_, last = server.requests
    system, user = (one["content"] for one in first.body["messages"])
    assert last.body["messages"] == [{"role": "user", "content": f"{system}\n\n{user}"}]
    assert len(server.requests) <= 3


NO_FORMAT = [
    error(400, None, "response_format json_schema is not supported"),
    error(400, None, "This response_format type is unavailable now"),
    error(400, None, "This model does not support response format `json_schema`"),
    error(400, None, "Invalid schema for response_format 'call_summary'"),
    error(400, "json_validate_failed", "Failed to generate JSON. Please adjust your prompt."),
    error(400, None, "Unknown name 'additionalProperties'"),
    error(400, None, "'type' must be one of text, json_object"),
    error(422, None, "Extra inputs are not permitted"),
    error(404, None, "No endpoints found that support structured outputs"),
    error(500, None, "failed to parse grammar"),
    error(501, None, "not implemented"),
    Answer(200, {"error": {"message": "response_format is not supported"}}),
    Answer(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}),
]


@pytest.mark.parametrize("reason", NO_FORMAT, ids=range(len(NO_FORMAT)))
async def test_a_server_without_the_format_is_asked_in_words(
    summariser: OpenAISummariser, server: FakeChatServer, reason: Answer
) -> None:
    server.reply = lambda request: reason if "response_format" in request.body else GOOD
    assert await summariser.summarise(CALL) == "They agreed."
    both = ["system", "user"]
    assert [asked(request) for request in server.requests] == [(True, both), (False, both)]


async def test_the_second_question_leaves_out_what_the_first_did(
    summariser: OpenAISummariser, server: FakeChatServer
) -> None:
    reasons = {True: error(400, None, "response_format?"), False: completion("Sure, I will.")}
    server.reply = lambda request: reasons["response_format" in request.body]
    with pytest.raises(InvalidInput, match="twice"):
        await summariser.summarise(CALL)
    assert [asked(request)[0] for request in server.requests] == [True, False, False]


FINAL = [
    (error(400, "context_length_exceeded", "maximum context length is 8192 tokens"), "too long"),
    (error(400, None, "the request exceeds the available context size"), "too long"),
    (error(400, "content_filter", "triggering Azure's content management policy"), "filter"),
    (error(400, None, "vendor/model is not a valid model ID"), "does not have the model"),
    (error(400, "model_decommissioned", "The model has been decommissioned"), "have the model"),
    (error(400, None, "API key not valid. Please pass a valid API key."), "key is wrong"),
    (Answer(404, {"error": "model 'llama3' not found, try pulling it first"}), "have the model"),
    (Answer(200, {"error": {"code": 402, "message": "Insufficient credits"}}), "answered 402"),
    (Answer(200, {"error": {"type": "authentication_error", "message": "no"}}), "answered 401"),
    (Answer(200, {"error": {"message": "maximum context length is 8192"}}), "too long"),
    (Answer(400, "not JSON"), "answered 400"),
]


@pytest.mark.parametrize(("answer", "sentence"), FINAL, ids=range(len(FINAL)))
async def test_what_asking_again_cannot_help_is_final_and_says_why(
    summariser: OpenAISummariser, server: FakeChatServer, answer: Answer, sentence: str
) -> None:
    server.reply = lambda request: answer
    with pytest.raises(InvalidInput, match=sentence) as refused:
        await summariser.summarise(CALL)
    assert refused.value.cure or "400" in sentence
    assert len(server.requests) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"error": {"code": 502, "message": "Provider returned error"}}),
        Answer(200, {"error": {"code": "rate_limit_exceeded", "message": "Slow down."}}),
        Answer(200, {"error": {"message": "The model is overloaded."}}),
        Answer(200, {"error": "upstream timed out"}),
        Answer(200, {"object": "error", "message": "engine died", "code": 50001}),
        Answer(200, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}]),
        completion("They", error={"code": 502, "message": "Provider disconnected"}),
        error(429, None, "Too many tokens per minute for this model"),
    ],
    ids=range(8),
)
async def test_an_outage_is_worth_another_attempt_wherever_it_is_reported(
    summariser: OpenAISummariser, server: FakeChatServer, answer: Answer
) -> None:
    server.reply = lambda request: answer
    with pytest.raises(Unavailable):
        await summariser.summarise(CALL)
    assert len(server.requests) == 1
