"""Configurations in answers: their secrets are masked, and the document says how they look."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

from domain.agents.config import AgentConfig

LOOKS_LIKE = "x-looks-like"
"""In a schema: it is to be replaced by a reference to the component of this name."""

MaskedConfig = Annotated[dict[str, Any], WithJsonSchema({LOOKS_LIKE: AgentConfig.__name__})]
"""What `domain.masking.masked` makes of an `AgentConfig`; it can be sent back as one."""
