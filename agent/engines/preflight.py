"""Asks the providers before the call whether they accept key, model and voice.

Only a clear refusal and a failed connection count. A provider that does not answer in time, or
answers anything else, is tried during the call, with the plugins' retries and the fallbacks.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx
import structlog

from agent.callbacks import tls_context
from agent.engines.parts import EngineFault, EngineUnavailable

log = structlog.stdlib.get_logger(__name__)

PROBE_SECONDS = 3.0
"""Time limit of all probes together; they run at the same time."""

Finding = EngineFault | EngineUnavailable
"""Why a model cannot work: for good, or while its provider is unreachable."""


@dataclass(frozen=True)
class Probe:
    """A request that a provider refuses if a stage's key, model or voice is wrong."""

    config_field: str
    """The field of the model's descriptor, for messages."""
    key_setting: str
    """The setting that holds the key, for the suggested fix."""
    url: str
    headers: Mapping[str, str]
    asked: str
    """The provider that is asked, in quotes, or LiveKit Inference."""
    names: str | None = None
    """What the URL names (`the model 'x'`), if a 404 means that it does not exist."""

    def fault(self, status: int, body: str) -> EngineFault | None:
        """What a response says; None unless the stage certainly cannot work."""
        if _refuses_key(status, body):
            problem = f"{self.asked} refuses the key (status {status})"
            cure = f"correct {self.key_setting}"
        elif status == 404 and self.names and _names_nothing(body):
            problem = f"{self.asked} does not have {self.names} for this account"
            cure = "name one that the account may use"
        else:
            return None
        return EngineFault(self.config_field, problem, cure)


def findings(probes: Sequence[Probe]) -> list[Finding | None]:
    """The finding of each probe; None for a model that seems to work.

    Blocks for `PROBE_SECONDS` at most; call it in a thread without an event loop.
    """

    async def ask_all() -> list[Finding | None]:
        async with httpx.AsyncClient(verify=tls_context(), timeout=PROBE_SECONDS) as client:
            return await asyncio.gather(*(_ask(client, probe) for probe in probes))

    return asyncio.run(ask_all())


async def _ask(client: httpx.AsyncClient, probe: Probe) -> Finding | None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            answer = await client.get(probe.url, headers=dict(probe.headers))
    except (httpx.HTTPError, TimeoutError) as error:
        log.warning(
            "provider_not_probed",
            field=probe.config_field,
            provider=probe.asked.strip("'"),
            why=type(error).__name__,
        )
        if isinstance(error, httpx.ConnectError):
            return EngineUnavailable(f"{probe.config_field}: {probe.asked} cannot be reached")
        return None
    return probe.fault(answer.status_code, answer.text[:2_000])


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
