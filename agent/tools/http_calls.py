"""HTTP tools: the model's arguments become a request, and its answer goes back to the model."""

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx
from jsonschema import Draft202012Validator
from livekit.agents import llm
from referencing import Registry

from agent.tools.inputs import function_tool
from agent.tools.web import answer_to
from domain.agents.tool_config import HttpTool
from domain.agents.variables import fill, only_variable, variables_in

_IN_QUERY = ("GET", "DELETE")
_ABSENT = object()


def http_tool(
    tool: HttpTool, web: httpx.AsyncClient, variables: Mapping[str, str]
) -> llm.RawFunctionTool[..., Any]:
    """The tool of a definition; the model gets a message for each failure."""
    # The library's default registry would fetch references from the web.
    validator = Draft202012Validator(tool.parameters, registry=Registry())

    async def call(raw_arguments: dict[str, Any]) -> str:
        fault = next(iter(validator.iter_errors(raw_arguments)), None)  # pyright: ignore[reportUnknownMemberType]  # the library's stubs leave the instance's type open
        if fault is not None:
            place = "/".join(map(str, fault.absolute_path)) or "the arguments"
            raise llm.ToolError(f"{place}: {fault.message[:300]}")
        return await answer_to(
            web,
            build_request(tool, raw_arguments, variables),
            tool=tool.name,
            seconds=tool.timeout,
            max_bytes=tool.max_response_bytes,
        )

    return function_tool(call, tool.name, tool.description, tool.parameters)


def build_request(
    tool: HttpTool, arguments: Mapping[str, Any], variables: Mapping[str, str]
) -> httpx.Request:
    """The request of a call with these arguments.

    Raises:
        livekit.agents.llm.ToolError: an argument would lead out of the tool's path.
    """
    declared = tool.parameters.get("properties", {})
    # Variables come from the configuration: an undeclared argument never replaces one.
    own = {name for name in variables if name not in declared}
    given = {name: value for name, value in arguments.items() if name not in own}
    values: dict[str, Any] = {**variables, **given}
    url = _filled_url(tool.url, values)
    query = {name: fill(text, _texts(values))[0] for name, text in tool.query.items()}
    used = variables_in(tool.url).union(*map(variables_in, tool.query.values()))
    body: Any = {name: value for name, value in arguments.items() if name not in used}
    if tool.body is not None:
        body = _filled_body(tool.body, values)
    elif tool.method in _IN_QUERY:
        query, body = query | _texts(body), None
    filled = {name: fill(text, variables)[0] for name, text in tool.headers.items()}
    # Values, such as people's names, need not be ASCII.
    headers = httpx.Headers(filled, encoding="utf-8")
    merged = httpx.URL(url).copy_merge_params(query) if query else httpx.URL(url)
    return httpx.Request(tool.method, merged, headers=headers, json=body)


def _filled_url(template: str, values: Mapping[str, Any]) -> str:
    encoded = {name: quote(text, safe="") for name, text in _texts(values).items()}
    url = fill(template, encoded)[0]
    if any(part in (".", "..") for part in urlsplit(url).path.split("/")):
        raise llm.ToolError("an argument must not be . or ..")
    return url


def _filled_body(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        name = only_variable(template)
        if name is not None:
            return values.get(name, _ABSENT)
        return fill(template, _texts(values))[0]
    if isinstance(template, dict):
        fields = cast(dict[str, Any], template).items()
        filled = {name: _filled_body(value, values) for name, value in fields}
        # An optional argument that was not given omits its field.
        return {name: value for name, value in filled.items() if value is not _ABSENT}
    if isinstance(template, list):
        items = [_filled_body(value, values) for value in cast(list[Any], template)]
        return [value for value in items if value is not _ABSENT]
    return template


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }
