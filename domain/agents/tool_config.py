"""The parts of a configuration that give an agent tools."""

import re
from ipaddress import IPv6Address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from domain.agents.config_base import SECRET, ConfigModel
from domain.agents.schema_references import check_object_schema, check_references
from domain.agents.variables import variables_in
from domain.json_model import or_else

TOOL_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
"""Function names that every model provider accepts."""
MAX_SCHEMA_CHARS = 32_768
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"

HeaderName = Annotated[str, Field(pattern=_HEADER_NAME)]
Headers = Annotated[
    dict[HeaderName, Annotated[str, Field(max_length=8192, pattern=r"^[^\r\n]*$")]],
    Field(repr=False, json_schema_extra=SECRET, max_length=50),
]
"""HTTP headers; their values are secrets, and may contain dynamic variables."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_A_HOST = re.compile(r"[\s\"%<>\\^`|]")


def _http_url(url: str) -> str:
    if _CONTROL.search(url):
        raise ValueError("must not contain control characters, such as a line break; remove them")
    scheme, separator, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if not separator or scheme.lower() not in ("https", "http") or not host:
        raise ValueError("must be a URL like https://host/path")
    if variables_in(scheme + host) or "{{" in host:
        # A variable host would let the call decide who receives the headers.
        raise ValueError("may have variables in its path and query only, not in its host")
    if "@" in host:
        raise ValueError("must not contain a user name or password; send them in headers")
    if _NOT_IN_A_HOST.search(host):
        raise ValueError("has an invalid character in its host; write it like example.com")
    try:
        # Reading the port validates it.
        name, port = urlsplit(f"//{host}").hostname, urlsplit(f"//{host}").port
        if host.startswith("["):
            IPv6Address(name or "")
    except ValueError:
        raise ValueError(
            "has a host or port that cannot be read; write it like example.com, 192.0.2.1:8443"
            " or [2001:db8::1]:8443"
        ) from None
    if port == 0 or not name:
        raise ValueError("must name a host, and a port from 1 to 65535 if any")
    return url


HttpUrl = Annotated[str, Field(max_length=4096), AfterValidator(_http_url)]


def _parameter_schema(schema: dict[str, Any]) -> dict[str, Any]:
    check_object_schema(schema, MAX_SCHEMA_CHARS)
    check_references(schema)
    return schema


ParameterSchema = Annotated[dict[str, Any], AfterValidator(_parameter_schema)]


class HttpTool(ConfigModel):
    """A function that the agent can call over HTTP.

    `{{name}}` in `url` (after the host), `query` and `body` is an argument of the call if
    `parameters` has it, otherwise a dynamic variable. In `headers` it is a dynamic variable.
    """

    name: str = Field(pattern=TOOL_NAME)
    description: str = Field(min_length=1, max_length=4000)
    """For the model: when to call the tool, and what it returns."""
    parameters: ParameterSchema = NO_PARAMETERS
    """JSON Schema of the arguments, which are validated before the request."""
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], or_else("GET")] = "POST"
    url: HttpUrl
    headers: Headers = {}
    query: dict[str, str] = {}
    body: Any | None = None
    """JSON to send. A text that is just `{{name}}` becomes the argument itself, of any type.

    Without a body, arguments that `url` and `query` do not use are sent in the query of a GET or
    DELETE, and as a JSON object otherwise.
    """
    timeout: float = Field(default=10, gt=0, le=60)
    """Seconds for the whole request."""
    max_response_bytes: int = Field(default=16_384, ge=1, le=262_144)
    """Limit of the part of the response that the model gets."""


class McpServer(ConfigModel):
    """A Model Context Protocol server over streamable HTTP, whose tools the agent can call."""

    name: str | None = Field(default=None, pattern=TOOL_NAME)
    url: HttpUrl
    headers: Headers = {}
    allowed_tools: list[str] | None = None
    """The tools that may be called; None for all."""
    timeout: float = Field(default=5, gt=0, le=60)
    """Seconds for the connection and for each call; the start of a call waits at most 5."""


class TransferDestination(ConfigModel):
    """A destination of phone call transfers."""

    name: str = Field(min_length=1, max_length=100)
    """What the agent calls it."""
    to: str = Field(pattern=r"^(tel:)?\+?[0-9]{3,20}$|^sips?:[^\s]{3,250}$")
    """A phone number, or a SIP address like `sip:desk@example.com`."""
    description: str | None = Field(default=None, max_length=1000)
    """When to transfer there."""


class Transfer(ConfigModel):
    """The destinations of the tool `transfer_call`."""

    destinations: list[TransferDestination] = Field(min_length=1, max_length=50)
    play_dialtone: bool = False

    @field_validator("destinations")
    @classmethod
    def _distinct(cls, destinations: list[TransferDestination]) -> list[TransferDestination]:
        if len({one.name for one in destinations}) < len(destinations):
            raise ValueError("must have different names")
        return destinations


class ManagedAgent(ConfigModel):
    """A saved agent that can take over the conversation."""

    id: str
    name: str
    usage_description: str


class ManagedAgents(ConfigModel):
    """The agents that can take over; only sent if `enabled`."""

    enabled: bool = False
    agents: list[ManagedAgent] = []


class LyzrToolConfig(ConfigModel):
    """Actions of one Lyzr tool; its further fields are Lyzr's own."""

    model_config = ConfigDict(extra="allow")

    tool_name: str | None = None
    tool_source: str | None = None
    action_names: list[str] | None = None
    persist_auth: bool | None = None
    server_id: str | None = None
    provider_uuid: str | None = None
    credential_id: str | None = Field(default=None, json_schema_extra=SECRET)


class LyzrRag(ConfigModel):
    """A Lyzr retrieval endpoint."""

    base_url: str
    rag_id: str
    rag_name: str | None = None
    params: dict[str, Any] | None = None


class AgenticRagEntry(ConfigModel):
    """One source of agentic retrieval; its further fields are the source's own."""

    model_config = ConfigDict(extra="allow")


class KnowledgeBase(ConfigModel):
    """A knowledge base. If `enabled`, it adds the tool `search_knowledge_base` with its sources.

    A Lyzr source is given as `lyzr_rag`, or flat as `base_url` and `rag_id`.
    """

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    lyzr_rag: LyzrRag | None = None
    agentic_rag: list[AgenticRagEntry] = []
    base_url: str | None = None
    rag_id: str | None = None
    rag_name: str | None = None
    params: dict[str, Any] | None = None
