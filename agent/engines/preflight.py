"""Asking the providers, before a caller hears anything, whether they accept key, model and voice.

Only a certain refusal counts: a provider that does not answer in time, or says something else, is
tried in the call, where the plugins retry and the fallbacks stand in.
"""

import asyncio
from collections.abc import Iterable

import httpx
import structlog

from agent.callbacks import tls_context
from agent.engines.faults import EngineFault
from agent.engines.providers import Probe

log = structlog.stdlib.get_logger(__name__)

PROBE_SECONDS = 3.0
"""Time limit of all probes together; they run at the same time."""


def refused(probes: Iterable[Probe]) -> dict[str, EngineFault]:
    """The faults of the stages that certainly cannot work, by the field of their descriptor.

    Blocks for `PROBE_SECONDS` at most; to be called in a thread without an event loop.
    """
    return asyncio.run(_ask_all(list(probes)))


async def _ask_all(probes: list[Probe]) -> dict[str, EngineFault]:
    if not probes:
        return {}
    async with httpx.AsyncClient(verify=tls_context(), timeout=PROBE_SECONDS) as client:
        answers = await asyncio.gather(*(_ask(client, probe) for probe in probes))
    faults = [fault for fault in answers if fault is not None]
    return {fault.field: fault for fault in faults}


async def _ask(client: httpx.AsyncClient, probe: Probe) -> EngineFault | None:
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
        return None
    return probe.fault(answer.status_code, answer.text[:2_000])
