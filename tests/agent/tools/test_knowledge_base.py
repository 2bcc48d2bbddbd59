"""`search_knowledge_base`: what Lyzr's retrieval is asked, and what the model hears of it."""

import json
from typing import Any

import pytest

from agent.tools.knowledge import passages
from tests.agent.tools.talk import settings, talking
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.web_service import WebService

HOURS = json.dumps({"results": [{"text": "Open from nine to five.", "score": 0.9}]})
PRICES = json.dumps([{"text": "A table costs nothing."}, {"content": "A room costs ten."}])


async def search(
    service: WebService, arguments: dict[str, Any], config: dict[str, Any]
) -> ScriptedChat:
    """Let the model search once; the chat model's side of it."""
    own = settings(lyzr_rag_url=service.url)
    async with (
        ScriptedChat([Call("search_knowledge_base", arguments)]) as chat,
        talking(
            chat,
            {"tools": ["search_knowledge_base"], "apiKey": "lyzr-key", **config},
            with_settings=own,
        ) as talk,
    ):
        await talk.say("When are you open?")
        assert talk.said()[-1] == "Fine."
    return chat


def rag(service: WebService, **fields: Any) -> dict[str, Any]:
    """One source."""
    return {"base_url": service.url, "rag_id": "r1", "rag_name": "hours", **fields}


async def test_a_source_is_asked_as_lyzr_documents_it() -> None:
    async with WebService(answer=HOURS) as service:
        params = {"top_k": 3, "retrieval_type": "mmr"}
        chat = await search(
            service, {"query": "opening hours"}, {"lyzr_rag": rag(service, params=params)}
        )

    [asked] = service.asked
    assert (asked.method, asked.path) == ("GET", "/v3/rag/r1/retrieve/")
    assert asked.headers["x-api-key"] == "lyzr-key"
    assert asked.query == {
        "query": "opening hours",
        "top_k": "3",
        "retrieval_type": "mmr",
        "score_threshold": "0.0",
        "lambda_param": "0.6",
        "time_decay_factor": "0.4",
    }
    assert chat.answers_of_tools() == ["From hours:\nOpen from nine to five."]
    assert set(chat.offered()["search_knowledge_base"]["parameters"]["properties"]) == {"query"}


async def test_of_several_sources_the_model_chooses_or_all_are_asked() -> None:
    config: dict[str, Any] = {
        "agentic_rag": [
            {"rag_id": "r2", "rag_name": "prices", "top_k": 2, "score_threshold": 0.5},
            {"rag_id": "r3"},
        ]
    }
    async with WebService(answer=HOURS) as service:
        service.answers_by_path["/v3/rag/r2/retrieve/"] = PRICES
        config["lyzr_rag"] = rag(service)
        one = await search(service, {"query": "cost", "sources": ["prices"]}, config)
        assert [asked.path for asked in service.asked] == ["/v3/rag/r2/retrieve/"]
        assert service.asked[0].query["top_k"] == "2"
        service.asked.clear()
        every = await search(service, {"query": "cost"}, config)

    offered = one.offered(0)["search_knowledge_base"]["parameters"]["properties"]["sources"]
    assert offered["items"]["enum"] == ["hours", "prices", "r3"]
    assert one.answers_of_tools() == [
        "From prices:\nA table costs nothing.\n---\nA room costs ten."
    ]
    assert sorted(asked.path for asked in service.asked) == [
        "/v3/rag/r1/retrieve/",
        "/v3/rag/r2/retrieve/",
        "/v3/rag/r3/retrieve/",
    ]
    assert every.answers_of_tools()[0].startswith("From hours:\nOpen from nine to five.")


async def test_one_source_that_fails_hides_no_other() -> None:
    async with WebService(status=500) as broken, WebService(answer=HOURS) as service:
        entry = {"rag_id": "r9", "base_url": broken.url}
        chat = await search(
            service, {"query": "hours"}, {"lyzr_rag": rag(service), "agentic_rag": [entry]}
        )

    assert len(broken.asked) == 1
    assert chat.answers_of_tools() == ["From hours:\nOpen from nine to five."]


@pytest.mark.parametrize(
    ("answer", "status", "heard"),
    [
        ("", 503, "the knowledge base does not answer now"),
        ("[]", 200, "Nothing was found."),
    ],
)
async def test_no_answer_and_nothing_found_are_said(answer: str, status: int, heard: str) -> None:
    async with WebService(answer=answer, status=status) as service:
        chat = await search(service, {"query": "hours"}, {"lyzr_rag": rag(service)})

    assert heard in chat.answers_of_tools()[0]


async def test_without_a_source_the_model_is_told() -> None:
    async with WebService() as service:
        chat = await search(service, {"query": "hours"}, {})

    assert "no knowledge base is configured" in chat.answers_of_tools()[0]
    assert service.asked == []


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('{"documents": [{"page_content": "a"}, {"other": 1}]}', ["a", '{"other": 1}']),
        ('{"text": "a"}', ["a"]),
        ('"plain"', ["plain"]),
        ("not json", ["not json"]),
        ('{"results": []}', []),
    ],
)
def test_passages_are_found_in_many_forms(answer: str, texts: list[str]) -> None:
    assert passages(answer) == texts
