"""Configurations in responses, with masked secrets."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

from domain.agents.config import AgentConfig

LOOKS_LIKE = "x-looks-like"
"""In a schema: `api.openapi` replaces it with a reference to the component of this name."""

MaskedConfig = Annotated[dict[str, Any], WithJsonSchema({LOOKS_LIKE: AgentConfig.__name__})]
"""What `domain.masking.masked` makes of an `AgentConfig`; it can be sent back as one."""
