"""Asking the providers, before a caller hears anything, whether they accept key, model and voice.

Only a clear refusal and a failed connection count. A provider that does not answer in time, or
answers anything else, is tried during the call, with the plugins' retries and the fallbacks.
"""

import asyncio
from collections.abc import Iterable

import httpx
import structlog

from agent.callbacks import tls_context
from agent.engines.faults import EngineFault, EngineUnavailable
from agent.engines.providers import Probe

log = structlog.stdlib.get_logger(__name__)

PROBE_SECONDS = 3.0
"""Time limit of all probes together; they run at the same time."""

Finding = EngineFault | EngineUnavailable
"""Why a model cannot work: for good, or while its provider is unreachable."""


def findings(probes: Iterable[Probe]) -> dict[str, Finding]:
    """The findings by the field of the model's descriptor.

    Blocks for `PROBE_SECONDS` at most; call it in a thread without an event loop.
    """
    return asyncio.run(_ask_all(list(probes)))


async def _ask_all(probes: list[Probe]) -> dict[str, Finding]:
    if not probes:
        return {}
    async with httpx.AsyncClient(verify=tls_context(), timeout=PROBE_SECONDS) as client:
        answers = await asyncio.gather(*(_ask(client, probe) for probe in probes))
    found = zip(probes, answers, strict=True)
    return {probe.descriptor.field: answer for probe, answer in found if answer is not None}


async def _ask(client: httpx.AsyncClient, probe: Probe) -> Finding | None:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            answer = await client.get(probe.url, headers=dict(probe.headers))
    except (httpx.HTTPError, TimeoutError) as error:
        log.warning(
            "provider_not_probed",
            field=probe.descriptor.field,
            provider=probe.descriptor.provider,
            why=type(error).__name__,
        )
        if isinstance(error, httpx.ConnectError):
            asked = probe.asked or repr(probe.descriptor.provider)
            return EngineUnavailable(f"{probe.descriptor.field}: {asked} cannot be reached")
        return None
    return probe.fault(answer.status_code, answer.text[:2_000])
