"""What OpenAI-compatible servers really answer: the summary is found, or nothing is stored."""

import json
from typing import Any

import pytest

from adapters.summarisers import OpenAISummariser
from domain.errors import InvalidInput, Unavailable
from tests.adapters.mongo.examples import conversation
from tests.fakes.openai_chat import Answer, FakeChatServer, completion

CALL = conversation("caller: I would like to book a table.", "agent: Booked for seven.")
SUMMARY = "They agreed."
GOOD = json.dumps({"summary": SUMMARY})
DRAFT = json.dumps({"summary": "A draft."})

ANSWERS: dict[str, str] = {
    "thinking before": f"<think>\nThe user wants {DRAFT}.\n</think>\n\n{GOOD}",
    "thinking after": f"{GOOD}<think>Was that right? {DRAFT}</think>",
    "thinking before and after": f"<think>a</think>{GOOD}<think>{DRAFT}",
    "thinking twice": f"<think>a</think>\n<think>{DRAFT}</think>\n{GOOD}",
    "thinking within thinking": f"<think>a <think>b</think> {DRAFT} </think>{GOOD}",
    "empty thinking": f"<think>\n\n</think>\n\n{GOOD}",
    "thinking before plain text": f"<think>Hm.</think>\n\n{SUMMARY}",
    "only the end of thinking": f"The user wants {DRAFT}, so …\n</think>\n{GOOD}",
    "only the end, then plain text": f"The user wants a summary.\n</think>\n{SUMMARY}",
    "a mark in other letters": f"<Thinking effort='3'>{DRAFT}</Thinking>{GOOD}",
    "thought": f"<thought>{DRAFT}</thought>{GOOD}",
    "reasoning": f"<reasoning>{DRAFT}</reasoning>{GOOD}",
    "Mistral": f"[THINK]{DRAFT}[/THINK]{GOOD}",
    "Kimi": f"◁think▷{DRAFT}◁/think▷{GOOD}",
    "Seed": f"<seed:think>{DRAFT}</seed:think>{GOOD}",
    "Granite": f"Here is my thought process: {DRAFT} Here is my response: {SUMMARY}",
    "Gemma": f"<|channel>thought\n{DRAFT}<channel|>{GOOD}",
    "GPT-OSS": (
        f"<|channel|>analysis<|message|>Draft: {DRAFT}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>"
    ),
    "GPT-OSS, constrained": (
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant"
        f"<|channel|>final <|constrain|>json<|message|>{GOOD}"
    ),
    "GPT-OSS, final json": f"<|channel|>final json<|message|>{GOOD}<|return|>",
    "GPT-OSS, plain text": (
        f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{SUMMARY}"
    ),
    "GPT-OSS, bare": f"analysisThe user wants {DRAFT}.assistantfinal{GOOD}",
    "GPT-OSS, bare, plain text": f"analysisWe need a summary.assistantfinal{SUMMARY}",
    "thinking within the JSON": json.dumps({"summary": f"<think>Hm.</think>\n{SUMMARY}"}),
    "fenced": f"```json\n{GOOD}\n```",
    "fenced, other language": f"```JSON5\n{GOOD}\n```",
    "fenced plain text": f"```\n{SUMMARY}\n```",
    "prose around a fence": f"Here is the summary:\n\n```json\n{GOOD}\n```\n\nAnything else?",
    "prose around JSON": f"Sure! {GOOD} I hope that helps.",
    "an example before": f"The form is {DRAFT}, so the answer is:\n{GOOD}",
    "braces in the prose": f"The form {{summary}} gives {GOOD}",
    "thinking, prose and a fence": f"<think>{DRAFT}</think>Sure:\n```json\n{GOOD}\n```",
    "wrapped in an object": json.dumps({"call_summary": {"summary": SUMMARY}}),
    "wrapped in the schema": json.dumps({"type": "object", "properties": {"summary": SUMMARY}}),
    "wrapped in a list": f"[{GOOD}]",
    "wrapped in a tag": f"<answer>{GOOD}</answer>",
    "plain text in a tag": f"<summary>{SUMMARY}</summary>",
    "encoded twice": json.dumps(GOOD),
    "encoded within": json.dumps({"summary": GOOD}),
    "further fields": json.dumps({"reasoning": "Hm.", "summary": SUMMARY, "language": "en"}),
    "a raw line break": '{"summary": "They\nagreed."}',
    "an end-of-turn token": f"{GOOD}<|im_end|>",
    "another turn": f"{SUMMARY}<|eot_id|><|start_header_id|>user",
    "a preface": f"Here is a summary of the call:\n\n{SUMMARY}",
    "a courteous preface": f"Sure, here's the summary: {SUMMARY}",
    "a start-of-turn token": f"<|im_start|>assistant\n{GOOD}<|im_end|>",
    "Llama's header": f"<|start_header_id|>assistant<|end_header_id|>\n\n{SUMMARY}<|eot_id|>",
    "a preface with a full stop": f"Here's the summary.\n\n{SUMMARY}",
    "a Markdown heading": f"## Summary\n\n{SUMMARY}",
    "an offer": f"{SUMMARY}\n\nLet me know if you need anything else!",
    "its reasons before it": f"Reasoning: they sounded happy.\n\nSummary: {SUMMARY}",
    "a heading": f"**Summary:** {SUMMARY}",
    "nothing but white space after it": f"{GOOD}\n\n\n\n",
}


@pytest.mark.parametrize("content", ANSWERS.values(), ids=ANSWERS.keys())
async def test_the_summary_is_found(
    summariser: OpenAISummariser, server: FakeChatServer, content: str
) -> None:
    server.reply = lambda request: completion(content)
    assert " ".join((await summariser.summarise(CALL)).split()) == SUMMARY
    assert len(server.requests) == 1


MESSAGES: dict[str, dict[str, Any]] = {
    "a list of parts": {"content": [{"type": "text", "text": GOOD}]},
    "a part that thinks": {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]},
            {"type": "text", "text": GOOD},
        ]
    },
    "a part that reasons": {
        "content": [{"type": "reasoning", "text": DRAFT}, {"type": "output_text", "text": GOOD}]
    },
    "a part that is a thought": {
        "content": [{"type": "text", "thought": True, "text": DRAFT}, {"text": GOOD}]
    },
    "text in pieces": {
        "content": [{"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]}]
    },
    "strings": {"content": [GOOD]},
    "one part": {"content": {"type": "text", "text": GOOD}},
    "text with annotations": {"content": [{"type": "text", "text": {"value": GOOD}}]},
    "reasoning beside it": {"content": GOOD, "reasoning_content": DRAFT, "reasoning": DRAFT},
    "an empty refusal": {"content": GOOD, "refusal": ""},
    "empty tool calls": {"content": GOOD, "tool_calls": [], "function_call": None},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
async def test_the_text_of_a_message_is_found(
    summariser: OpenAISummariser, server: FakeChatServer, message: dict[str, Any]
) -> None:
    server.reply = lambda request: completion(None, message=message)
    assert await summariser.summarise(CALL) == SUMMARY
    assert len(server.requests) == 1


async def test_an_answer_whose_white_space_ran_to_the_limit_is_whole(
    summariser: OpenAISummariser, server: FakeChatServer
) -> None:
    server.reply = lambda request: completion(GOOD + "\n" * 2_000, finish_reason="length")
    assert await summariser.summarise(CALL) == SUMMARY


UNUSABLE: dict[str, Answer] = {
    "null": completion(None),
    "empty": completion(" \n"),
    "no parts": completion(None, message={"content": []}),
    "a number": completion('{"summary": 7}'),
    "another field": completion('{"other": "field"}'),
    "the form itself": completion('{"summary": "..."}'),
    "the schema itself": completion(
        '{"type": "object", "properties": {"summary": {"type": "string"}}}'
    ),
    "an unfinished object": completion('{"summary": "They agr'),
    "an unfinished object after prose": completion('Here it is: {"summary": "They agr'),
    "an unfinished fence": completion('```json\n{"summary": "They agr'),
    "another notation": completion("{'summary': 'They agreed.'}"),
    "thinking alone": completion(f"<think>{DRAFT}</think>"),
    "thinking without end": completion(f"<think>The answer is {DRAFT}"),
    "thinking to the end": completion(f"The answer is {DRAFT}</think>"),
    "GPT-OSS's analysis alone": completion(f"<|channel|>analysis<|message|>{DRAFT}<|end|>"),
    "GPT-OSS's bare analysis alone": completion(f"analysisThe answer is {DRAFT}"),
    "thinking aloud": completion("Okay, the user wants me to summarise a call. First, …"),
    "thinking about the user": completion("The user wants a summary of this call."),
    "a question": completion("Please provide the transcript."),
    "null as text": completion("null"),
    "a number as text": completion("12"),
    "nothing as text": completion("N/A"),
    "a promise": completion("Sure! I will summarise the call."),
    "a call of a tool as text": completion('<tool_call>{"name": "look_up"}</tool_call>'),
    "a call of a tool after text": completion('They agreed. <tool_call>{"name": "x"}</tool_call>'),
    "Mistral's call of a tool": completion('[TOOL_CALLS][{"name": "look_up"}]'),
    "a call of a tool": completion(
        None, finish_reason="tool_calls", message={"tool_calls": [{"id": "1", "type": "function"}]}
    ),
    "reasoning beside nothing": completion(None, message={"reasoning_content": DRAFT}),
    "a part that thinks alone": completion(
        None, message={"content": [{"type": "thinking", "thinking": DRAFT}]}
    ),
    "no choices": Answer(body={"choices": []}),
    "null choices": Answer(body={"choices": None}),
    "no message": Answer(body={"choices": [{"message": None}]}),
    "a list": Answer(body=[]),
    "an empty body": Answer(body=""),
    "a stream": Answer(body='data: {"choices": [{"delta": {"content": "They"}}]}\n\n'),
    "Ollama's own form": Answer(body={"message": {"content": GOOD}, "done": True}),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_an_unusable_answer_is_asked_for_once_more_and_then_final(
    summariser: OpenAISummariser, server: FakeChatServer, answer: Answer
) -> None:
    server.reply = lambda request: answer
    with pytest.raises(InvalidInput, match="not a summary, twice: it ") as refused:
        await summariser.summarise(CALL)
    assert refused.value.cure
    assert "draft" not in refused.value.in_full()
    assert len(server.requests) == 2

    server.reply = lambda request: completion(GOOD) if len(server.requests) == 4 else answer
    assert await summariser.summarise(CALL) == SUMMARY


async def test_the_second_request_says_what_was_wrong_and_has_no_reasoning_in_it(
    summariser: OpenAISummariser, server: FakeChatServer
) -> None:
    server.reply = lambda request: completion("<think>Hm.</think>Sure, I will do that.")
    with pytest.raises(InvalidInput):
        await summariser.summarise(CALL)
    first, again = server.requests
    assert again.body["messages"][:2] == first.body["messages"]
    answer, correction = again.body["messages"][2:]
    assert answer == {"role": "assistant", "content": "Sure, I will do that."}
    assert "does not fit" in correction["content"]


REFUSALS: dict[str, Answer] = {
    "a field": completion(None, message={"refusal": "I cannot"}),
    "a part": completion(None, message={"content": [{"type": "refusal", "refusal": "No."}]}),
    "a filter": completion("half", finish_reason="content_filter"),
    "Gemini's filter": completion(None, finish_reason="SAFETY"),
    "Anthropic's reason": completion("They", finish_reason="refusal"),
    "prose": completion("I'm sorry, but I can't assist with that request."),
    "other prose": completion("I cannot summarise this conversation."),
    "a model that introduces itself": completion("As an AI language model, I am unable to do so."),
    "typographic prose": completion("I\u2019m very sorry, but I can\u2019t do that."),
    "JSON": completion('{"summary": "Sorry, I cannot help with that."}'),
    "after thinking": completion("<think>Not allowed.</think>I'm unable to help with that."),
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_is_final(
    summariser: OpenAISummariser, server: FakeChatServer, answer: Answer
) -> None:
    server.reply = lambda request: answer
    with pytest.raises(InvalidInput, match="refused"):
        await summariser.summarise(CALL)
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish_reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
@pytest.mark.parametrize(
    "content", [None, "They agr", '{"summary": "They agr', "<think>Hm", f"Draft: {DRAFT}. But"]
)
async def test_an_answer_that_was_cut_off_is_final(
    summariser: OpenAISummariser, server: FakeChatServer, finish_reason: str, content: str | None
) -> None:
    server.reply = lambda request: completion(content, finish_reason=finish_reason)
    with pytest.raises(InvalidInput, match="cut off at the limit of its output tokens") as cut:
        await summariser.summarise(CALL)
    assert "raise the limit" in (cut.value.cure or "")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body="<html>maintenance</html>"),
        completion("They", finish_reason="error"),
        completion(None, finish_reason="insufficient_system_resource"),
    ],
    ids=["web page", "error", "DeepSeek"],
)
async def test_an_outage_that_looks_like_a_success_is_worth_another_attempt(
    summariser: OpenAISummariser, server: FakeChatServer, answer: Answer
) -> None:
    server.reply = lambda request: answer
    with pytest.raises(Unavailable):
        await summariser.summarise(CALL)
    assert len(server.requests) == 1
