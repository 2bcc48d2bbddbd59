"""A cheap request that shows, before the call, whether a provider accepts key, model and voice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault


@dataclass(frozen=True)
class Probe:
    """A request that a provider refuses if a stage's key, model or voice is wrong."""

    descriptor: Descriptor
    key_setting: str
    """The setting that holds the key, for the suggested fix."""
    url: str
    headers: Mapping[str, str]
    asked: str | None = None
    """Who is asked, if not the descriptor's provider."""
    names: str | None = None
    """What the URL names (`the model 'x'`), if a 404 means that it does not exist."""

    def fault(self, status: int, body: str) -> EngineFault | None:
        """What a response says; None unless the stage certainly cannot work."""
        if _refuses_key(status, body):
            return EngineFault(
                self.descriptor.field,
                f"{self.asked or repr(self.descriptor.provider)} refuses the key (status {status})",
                f"correct {self.key_setting}",
            )
        if status == 404 and self.names and _names_nothing(body):
            return EngineFault(
                self.descriptor.field,
                f"{self.descriptor.provider!r} does not have {self.names} for this account",
                "name one that the account may use",
            )
        return None


def _refuses_key(status: int, body: str) -> bool:
    """Whether the key is invalid, rather than not allowed to make this request."""
    if status == 401:
        # ElevenLabs answers this to a valid key that may speak but not list voices.
        return "missing_permissions" not in body
    # Google's answer to a key that does not exist.
    return status in (400, 403) and "API_KEY_INVALID" in body


def _names_nothing(body: str) -> bool:
    """Whether a 404 comes from the provider, not from a server without such a route."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return False
    # FastAPI, and so many compatible servers, answer this to a route that does not exist.
    return isinstance(answer, dict) and cast(dict[str, Any], answer) != {"detail": "Not Found"}
