"""`search_knowledge_base`: what the configured sources know about a question.

The sources are Lyzr's: `GET {base_url}/v3/rag/{rag_id}/retrieve/` with the query and the source's
parameters, and the key as `x-api-key`, as Lyzr documents it.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import httpx
from livekit.agents import llm

from agent.tools.inputs import ToolInputs, function_tool
from agent.tools.web import answer_to

NAME = "search_knowledge_base"
SEARCH_SECONDS = 8.0
MAX_ANSWER_BYTES = 262_144
MAX_PASSAGES_CHARS = 12_000
"""Limit of the passages that the model gets from all sources together."""
_DEFAULTS: Mapping[str, Any] = {
    "top_k": 5,
    "retrieval_type": "basic",
    "score_threshold": 0.0,
    "lambda_param": 0.6,
    "time_decay_factor": 0.4,
}
"""Lyzr requires all of them."""
_TEXT_FIELDS = ("text", "content", "page_content", "chunk")


@dataclass(frozen=True)
class Source:
    """One knowledge base."""

    name: str
    base_url: str
    rag_id: str
    params: Mapping[str, Any]


def sources(inputs: ToolInputs) -> list[Source]:
    """The sources of a configuration, `lyzr_rag` first; each once, with names that differ."""
    found: list[Source] = []
    rag = inputs.config.lyzr_rag
    if rag is not None:
        found.append(Source(rag.rag_name or rag.rag_id, rag.base_url, rag.rag_id, rag.params or {}))
    default_url = rag.base_url if rag else inputs.settings.lyzr_rag_url
    for entry in inputs.config.agentic_rag:
        fields = dict(entry.model_extra or {})
        rag_id = str(fields.pop("rag_id", ""))
        name = str(fields.pop("rag_name", None) or rag_id)
        base_url = str(fields.pop("base_url", None) or default_url)
        params = {**cast(dict[str, Any], fields.pop("params", None) or {}), **fields}
        if rag_id and all((one.rag_id, one.base_url) != (rag_id, base_url) for one in found):
            taken = any(one.name == name for one in found)
            found.append(Source(rag_id if taken else name, base_url, rag_id, params))
    return found


def search_knowledge_base(inputs: ToolInputs) -> llm.Tool:
    """One search in all sources, or in those that the model names if there are several."""
    known = {one.name: one for one in sources(inputs)}

    async def search(raw_arguments: dict[str, Any]) -> str:
        query = str(raw_arguments.get("query", "")).strip()
        if not query:
            raise llm.ToolError("query must not be empty")
        if not known:
            raise llm.ToolError("no knowledge base is configured; answer without it")
        wanted = raw_arguments.get("sources") or list(known)
        chosen = [known[name] for name in wanted if name in known]
        if not chosen:
            raise llm.ToolError(f"sources must be some of: {', '.join(known)}")
        answers = await asyncio.gather(
            *(_ask(inputs, source, query) for source in chosen), return_exceptions=True
        )
        return _combined(chosen, answers)

    properties: dict[str, Any] = {
        "query": {"type": "string", "description": "what to look up, in full words"}
    }
    if len(known) > 1:
        properties["sources"] = {
            "type": "array",
            "items": {"type": "string", "enum": list(known)},
            "description": "where to look; without it everywhere",
        }
    return function_tool(
        search,
        NAME,
        "Looks up passages in the knowledge base. Use it for every question about facts"
        " that you were not told, and again with other words if nothing fits.",
        properties,
        ["query"],
    )


async def _ask(inputs: ToolInputs, source: Source, query: str) -> list[str]:
    path = inputs.settings.lyzr_rag_path.format(rag_id=quote(source.rag_id, safe=""))
    request = httpx.Request(
        "GET",
        source.base_url.rstrip("/") + path,
        params={**_DEFAULTS, **source.params, "query": query},
        headers={"x-api-key": inputs.config.apiKey} if inputs.config.apiKey else {},
    )
    answer = await answer_to(
        inputs.web, request, tool=NAME, seconds=SEARCH_SECONDS, max_bytes=MAX_ANSWER_BYTES
    )
    return passages(answer)


def passages(answer: str) -> list[str]:
    """The texts in an answer: a list, or an object with one, of objects or of plain texts."""
    try:
        content: Any = json.loads(answer)
    except ValueError:
        return [answer]
    if isinstance(content, dict):
        fields = cast(dict[str, Any], content)
        lists = [name for name, value in fields.items() if isinstance(value, list)]
        content = fields[lists[0]] if lists else [fields]
    if not isinstance(content, list):
        return [str(content)]
    return [text for item in cast(list[Any], content) if (text := _passage(item))]


def _passage(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    fields = cast(dict[str, Any], item)
    text = next((fields[name] for name in _TEXT_FIELDS if fields.get(name)), None)
    return str(text) if text else json.dumps(fields, ensure_ascii=False)


def _combined(chosen: list[Source], answers: list[list[str] | BaseException]) -> str:
    parts: list[str] = []
    failed: list[str] = []
    for source, answer in zip(chosen, answers, strict=True):
        if isinstance(answer, llm.ToolError):
            failed.append(source.name)
        elif isinstance(answer, BaseException):
            raise answer
        elif answer:
            parts.append(f"From {source.name}:\n" + "\n---\n".join(answer))
    if failed and len(failed) == len(chosen):
        raise llm.ToolError(
            "the knowledge base does not answer now; say that you cannot look it up"
        )
    if not parts:
        return "Nothing was found."
    return "\n\n".join(parts)[:MAX_PASSAGES_CHARS]
