"""Actions of Lyzr's tools; each becomes a function that the model can call.

Lyzr documents `POST /v3/tools/openapi/{tool}/execute` for OpenAPI tools: the arguments are the
body, `path` and `method` (further fields of the entry) the query. Everline calls the actions of
Lyzr's other sources in the same way, with the action's name beside the arguments. `LYZR_TOOL_PATH`
changes the path.
"""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import httpx
from livekit.agents import llm

from agent.tools.inputs import ToolInputs, function_name, function_tool
from agent.tools.web import answer_to
from domain.agents.tool_config import LyzrToolConfig

ACTION_SECONDS = 20.0
MAX_ANSWER_BYTES = 32_768
_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}
_IDENTIFIERS = {"server_id", "provider_uuid", "credential_id", "persist_auth"}


def lyzr_tools(inputs: ToolInputs) -> Iterator[llm.RawFunctionTool[..., Any]]:
    """A tool for each action; an entry without actions is one action, named like the entry."""
    for entry in inputs.config.lyzr_tools:
        tool = entry.tool_name or str((entry.model_extra or {}).get("name") or "")
        for action in entry.action_names or filter(None, [tool]):
            yield _action(inputs, entry, tool, action)


def _action(
    inputs: ToolInputs, entry: LyzrToolConfig, tool: str, action: str
) -> llm.RawFunctionTool[..., Any]:
    name = function_name(action)
    extra, source = entry.model_extra or {}, entry.tool_source or "openapi"
    # The entry's optional field `actions`: {action: {description, parameters}}.
    actions: Any = extra.get("actions")
    found: Any = cast(dict[str, Any], actions).get(action) if isinstance(actions, dict) else None
    described = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    names = {"tool_source": source, "tool_name": tool, "action_name": action}
    quoted = {field: quote(value, safe="") for field, value in names.items()}
    url = inputs.settings.lyzr_api_url.rstrip("/") + inputs.settings.lyzr_tool_path.format(**quoted)
    query = {field: str(extra[field]) for field in ("path", "method") if field in extra}

    async def call(raw_arguments: dict[str, Any]) -> str:
        body: dict[str, Any] = raw_arguments
        if source != "openapi":
            fields = entry.model_dump(include=_IDENTIFIERS, exclude_none=True)
            context = {"user_id": inputs.config.user_id, "session_id": inputs.config.session_id}
            body = {"action_name": action, "arguments": raw_arguments, **context, **fields}
        return await answer_to(
            inputs.web,
            httpx.Request("POST", url, params=query, json=body, headers=inputs.lyzr_headers),
            tool=name,
            seconds=ACTION_SECONDS,
            max_bytes=MAX_ANSWER_BYTES,
        )

    description = str(described.get("description") or f"{action} of {tool}.")
    return function_tool(call, name, description, described.get("parameters") or _ANYTHING)
