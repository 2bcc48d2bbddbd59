"""`search_knowledge_base`: passages of the configured knowledge bases.

They are Lyzr's: `GET {base_url}/v3/rag/{rag_id}/retrieve/` with the query and the parameters of the
source, and the key as `x-api-key`, as Lyzr documents it.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import httpx
from livekit.agents import llm

from agent.tools.inputs import ToolInputs, arguments, function_tool
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


def sources(inputs: ToolInputs) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """URL and parameters of each source of a configuration, by its name; `lyzr_rag` first."""
    rag = inputs.config.lyzr_rag
    default_url = rag.base_url if rag else inputs.settings.lyzr_rag_url
    entries = [rag.model_dump()] if rag else []
    entries += [dict(entry.model_extra or {}) for entry in inputs.config.agentic_rag]
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    known: set[tuple[str, str]] = set()
    for fields in entries:
        rag_id = str(fields.pop("rag_id", ""))
        name = str(fields.pop("rag_name", None) or rag_id)
        base_url = str(fields.pop("base_url", None) or default_url)
        params = {**cast(dict[str, Any], fields.pop("params", None) or {}), **fields}
        if rag_id and (rag_id, base_url) not in known:
            known.add((rag_id, base_url))
            path = inputs.settings.lyzr_rag_path.format(rag_id=quote(rag_id, safe=""))
            found[rag_id if name in found else name] = (base_url.rstrip("/") + path, params)
    return found


def search_knowledge_base(inputs: ToolInputs) -> llm.Tool:
    """Searches all sources, or those that the model chooses if there are several."""
    known = sources(inputs)

    async def search(raw_arguments: dict[str, Any]) -> str:
        query = str(raw_arguments.get("query", "")).strip()
        if not query:
            raise llm.ToolError("query must not be empty")
        if not known:
            raise llm.ToolError("no knowledge base is configured; answer without it")
        chosen = [name for name in raw_arguments.get("sources") or known if name in known]
        if not chosen:
            raise llm.ToolError(f"sources must be some of: {', '.join(known)}")
        answers = await asyncio.gather(*(_ask(inputs, *known[name], query) for name in chosen))
        if all(answer is None for answer in answers):
            raise llm.ToolError(
                "the knowledge base does not answer now; say that you cannot look it up"
            )
        found = zip(chosen, answers, strict=True)
        parts = [f"From {name}:\n" + "\n---\n".join(texts) for name, texts in found if texts]
        return "\n\n".join(parts)[:MAX_PASSAGES_CHARS] or "Nothing was found."

    properties: dict[str, Any] = {
        "query": {"type": "string", "description": "what to look up, in full words"}
    }
    if len(known) > 1:
        properties["sources"] = {
            "type": "array",
            "items": {"type": "string", "enum": list(known)},
            "description": "which sources to search; all of them if omitted",
        }
    return function_tool(
        search,
        NAME,
        "Looks up passages in the knowledge base. Use it for every question about facts"
        " that you were not told, and again with other words if nothing fits.",
        arguments(properties, ["query"]),
    )


async def _ask(
    inputs: ToolInputs, url: str, params: Mapping[str, Any], query: str
) -> list[str] | None:
    """The passages that a source finds; None if it does not answer, which is logged."""
    params = {**_DEFAULTS, **params, "query": query}
    request = httpx.Request("GET", url, params=params, headers=inputs.lyzr_headers)
    try:
        answer = await answer_to(
            inputs.web, request, tool=NAME, seconds=SEARCH_SECONDS, max_bytes=MAX_ANSWER_BYTES
        )
    except llm.ToolError:
        return None
    return passages(answer)


def passages(answer: str) -> list[str]:
    """The texts in an answer: a list, or an object with one, of objects or of plain texts."""
    try:
        content: Any = json.loads(answer)
    except ValueError:
        return [answer]
    if isinstance(content, dict):
        fields = cast(dict[str, Any], content)
        lists: list[Any] = [value for value in fields.values() if isinstance(value, list)]
        content = lists[0] if lists else [fields]
    if not isinstance(content, list):
        return [str(content)]
    return [text for item in cast(list[Any], content) if (text := _passage(item))]


def _passage(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    fields = cast(dict[str, Any], item)
    text = next((fields[name] for name in _TEXT_FIELDS if fields.get(name)), None)
    return str(text) if text else json.dumps(fields, ensure_ascii=False)
