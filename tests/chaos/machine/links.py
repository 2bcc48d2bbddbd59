"""The proxies of a run, and a stack whose parts talk through them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from stack.layout.wanted import Wanted, read_wanted, write_wanted
from stack.supervision.control import change_parts
from tests.chaos.machine.faults import Wire
from tests.chaos.machine.webhook_relay import WebhookRelay
from tests.chaos.machine.wires import WireProxy
from tests.harness.rig import Rig
from tests.servers import free_port

PLACES = 5
"""Calls that the agent server takes at once; more would make the machine the bottleneck."""
_CHANGED = ("livekit", "api", "worker", "agent")


@dataclass(frozen=True)
class Links:
    """Everything between the parts."""

    wires: dict[Wire, WireProxy]
    webhooks: WebhookRelay

    def heal(self) -> None:
        """Pass everything on as it comes."""
        for wire in self.wires.values():
            wire.heal()
        self.webhooks.delivery = None


@asynccontextmanager
async def linked(rig: Rig) -> AsyncGenerator[Links]:
    """Have the parts of a stack talk through proxies for the block."""
    home, ports = rig.stack.home, rig.stack.ports
    targets = {"temporal": ports.temporal, "mongodb": ports.mongodb, "livekit": ports.livekit}
    before = read_wanted(home)
    async with AsyncExitStack() as running:
        wires: dict[Wire, WireProxy] = {}
        for wire in Wire:
            # The agents' callbacks go on to the proxy that notes what was acknowledged.
            target = targets.get(wire.partition("-")[2], rig.proxy.port)
            wires[wire] = await running.enter_async_context(WireProxy(free_port(), target))
        relay = WebhookRelay(free_port(), f"http://127.0.0.1:{ports.api}")
        await running.enter_async_context(relay)
        await asyncio.to_thread(
            change_parts, home, start=_CHANGED, settings=_settings(rig, wires, relay)
        )
        try:
            yield Links(wires, relay)
        finally:
            await asyncio.to_thread(_restore, rig, before)


def _settings(
    rig: Rig, wires: dict[Wire, WireProxy], relay: WebhookRelay
) -> dict[str, dict[str, str]]:
    config = json.loads(rig.stack.home.livekit_config.read_text(encoding="utf-8"))
    config["webhook"]["urls"] = [f"{relay.url}/v1/livekit/webhook"]
    port = {wire: proxy.port for wire, proxy in wires.items()}
    callbacks = {"EVERLINE_CALLBACK_URL": f"http://127.0.0.1:{port[Wire.AGENT_API]}"}

    def backends(part: str) -> dict[str, str]:
        at = {name: port[Wire(f"{part}-{name}")] for name in ("livekit", "temporal", "mongodb")}
        return {
            "LIVEKIT_URL": f"ws://127.0.0.1:{at['livekit']}",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{at['temporal']}",
            "MONGODB_URI": f"mongodb://127.0.0.1:{at['mongodb']}/?directConnection=true",
        }

    return {
        "livekit": {"LIVEKIT_CONFIG": json.dumps(config)},
        "api": backends("api"),
        "worker": backends("worker") | callbacks,
        "agent": callbacks
        | {
            "LIVEKIT_URL": f"ws://127.0.0.1:{port[Wire.AGENT_LIVEKIT]}",
            "EVERLINE_MAX_JOBS": str(PLACES),
        },
    }


def _restore(rig: Rig, before: Wanted) -> None:
    now = read_wanted(rig.stack.home)
    write_wanted(rig.stack.home, before.model_copy(update={"revision": now.revision}))
    change_parts(rig.stack.home, start=_CHANGED)
