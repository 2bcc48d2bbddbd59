"""Actions of Lyzr's tools, each a function of its own for the model.

Lyzr documents `POST /v3/tools/openapi/{tool}/execute` for OpenAPI tools: the arguments are the
body, `path` and `method` (further fields of the entry) the query. Actions of its other sources are
called the same way, with the action's name beside the arguments; `LYZR_TOOL_PATH` changes the path.
"""

import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import httpx
from livekit.agents import llm

from agent.tools.inputs import ToolInputs
from agent.tools.web import answer_to
from domain.agents.tool_config import LyzrToolConfig

ACTION_SECONDS = 20.0
MAX_ANSWER_BYTES = 32_768
_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}
_IDENTIFIERS = ("server_id", "provider_uuid", "credential_id", "persist_auth")


def lyzr_tools(inputs: ToolInputs) -> Iterator[llm.RawFunctionTool[..., Any]]:
    """A tool for each action; an entry without actions is one action of its own name."""
    for entry in inputs.config.lyzr_tools:
        extra = entry.model_extra or {}
        name = entry.tool_name or str(extra.get("name") or "")
        for action in entry.action_names or ([name] if name else []):
            yield _action(inputs, entry, name, action)


def function_name(action: str) -> str:
    """The action's name as providers of models take it."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", action)[:64] or "action"


def _action(
    inputs: ToolInputs, entry: LyzrToolConfig, tool: str, action: str
) -> llm.RawFunctionTool[..., Any]:
    name = function_name(action)
    # The entry's optional field `actions`: {action: {description, parameters}}.
    actions: Any = (entry.model_extra or {}).get("actions")
    found: Any = cast(dict[str, Any], actions).get(action) if isinstance(actions, dict) else None
    described = cast(dict[str, Any], found) if isinstance(found, dict) else {}

    async def call(raw_arguments: dict[str, Any]) -> str:
        request = _request(inputs, entry, tool, action, raw_arguments)
        return await answer_to(
            inputs.web, request, tool=name, seconds=ACTION_SECONDS, max_bytes=MAX_ANSWER_BYTES
        )

    return llm.function_tool(
        call,
        raw_schema={
            "name": name,
            "description": str(described.get("description") or f"{action} of {tool}."),
            "parameters": described.get("parameters") or _ANYTHING,
        },
    )


def _request(
    inputs: ToolInputs, entry: LyzrToolConfig, tool: str, action: str, arguments: dict[str, Any]
) -> httpx.Request:
    source = entry.tool_source or "openapi"
    path = inputs.settings.lyzr_tool_path.format(
        tool_source=quote(source, safe=""),
        tool_name=quote(tool, safe=""),
        action_name=quote(action, safe=""),
    )
    extra = entry.model_extra or {}
    query = {name: str(extra[name]) for name in ("path", "method") if name in extra}
    body: dict[str, Any] = arguments
    if source != "openapi":
        fields = entry.model_dump(include=set(_IDENTIFIERS), exclude_none=True)
        context = {"user_id": inputs.config.user_id, "session_id": inputs.config.session_id}
        body = {"action_name": action, "arguments": arguments, **context, **fields}
    return httpx.Request(
        "POST",
        inputs.settings.lyzr_api_url.rstrip("/") + path,
        params=query,
        json=body,
        headers={"x-api-key": inputs.config.apiKey} if inputs.config.apiKey else {},
    )
