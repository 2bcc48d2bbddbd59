from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.stack.models.lines import SpokenLine
from tests.stack.models.serving import ModelsServer
from tests.stack.models.test_transcription import post as transcribe


def ask(server: ModelsServer, **body: object) -> httpx.Response:
    url = f"{server.openai_url}/chat/completions"
    return httpx.post(url, json={"model": "any"} | body, timeout=60)


@pytest.fixture
def client(models_server: ModelsServer) -> Any:
    with openai.OpenAI(base_url=models_server.openai_url, api_key="any", max_retries=0) as client:
        yield client


def test_the_recorded_call_is_answered_line_by_line(
    models_server: ModelsServer, client: openai.OpenAI, caller_lines: list[SpokenLine]
) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You answer the telephone of a restaurant."}
    ]
    for line in caller_lines:
        heard = transcribe(models_server, line.wav).json()["text"]
        messages.append({"role": "user", "content": heard})
        stream = client.chat.completions.create(
            model="any", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        answer = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert all(words in answer for words in line.answer_contains), (line.file, answer)
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == len(answer.split())
        messages.append({"role": "assistant", "content": answer})


def test_an_answer_at_once_is_the_streamed_answer(client: openai.OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "A table for two, please."}]}
    ]
    whole = client.chat.completions.create(model="any", messages=messages)
    parts = list(client.chat.completions.create(model="any", messages=messages, stream=True))
    streamed = "".join(c.choices[0].delta.content or "" for c in parts)
    assert whole.choices[0].message.content == streamed
    assert "table for two" in streamed
    assert all(c.usage is None for c in parts)


def test_offered_tools_are_left_alone(models_server: ModelsServer) -> None:
    tool: dict[str, object] = {
        "type": "function",
        "function": {"name": "end_call", "parameters": {}},
    }
    messages = [{"role": "user", "content": "Hello"}]
    answer = ask(models_server, messages=messages, tools=[tool], tool_choice="auto").json()
    assert answer["choices"][0]["message"]["content"].startswith("Hello!")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages.0.role"),
        ({"n": 2}, "n"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_cannot_be_answered_is_a_400_that_names_the_field(
    models_server: ModelsServer, body: dict[str, object], param: str
) -> None:
    answer = ask(models_server, **{"messages": [{"role": "user", "content": "Hello"}]} | body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


TRANSCRIPT = "Caller: I need a table for four tomorrow.\nAgent: What name?\nCaller: Anna Miller."


def test_a_summary_is_extracted_as_the_asked_for_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="any",
        messages=[
            {"role": "system", "content": "Summarise the call below."},
            {"role": "user", "content": TRANSCRIPT},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "summary",
                "schema": {
                    "type": "object",
                    "properties": {"summary": {"type": "string"}},
                    "required": ["summary"],
                },
            },
        },
    )
    summary = json.loads(answer.choices[0].message.content or "")["summary"]
    assert "table for four tomorrow" in summary


def test_a_schema_that_asks_for_more_than_a_summary_is_refused(models_server: ModelsServer) -> None:
    schema: dict[str, object] = {
        "properties": {"summary": {}, "mood": {}},
        "required": ["summary", "mood"],
    }
    answer = ask(
        models_server,
        messages=[{"role": "user", "content": f"Summarise:\n{TRANSCRIPT}"}],
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
    )
    assert answer.status_code == 400
    assert "mood" in answer.json()["error"]["message"]
