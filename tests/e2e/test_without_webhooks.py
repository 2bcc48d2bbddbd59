"""LiveKit's webhooks do not arrive: the caller is noticed all the same, and so is the hang-up."""

import asyncio
import os
from pathlib import Path

from cli.doctor import examine
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from stack.layout.home import find_home
from tests.harness.rig import Rig, running_rig
from tests.invariants import require_invariants


async def test_a_caller_of_whom_no_webhook_tells_is_kept(rig: Rig, tmp_path: Path) -> None:
    # The models are lent by the shared stack; everything else is this one's own.
    models = f"http://127.0.0.1:{rig.stack.ports.models}/v1"
    signed_otherwise = {"LIVEKIT_WEBHOOK_API_SECRET": "a-secret-that-livekit-does-not-sign-with"}
    async with running_rig(
        tmp_path,
        without=("models",),
        settings={"agent": {"OPENAI_BASE_URL": models}, "api": signed_otherwise},
    ) as deaf:
        limits = {"caller_wait": 6, "caller_return": 2}
        started = await deaf.client.start(wait="joined", limits=limits)
        async with deaf.joined(started) as call:
            await call.until_heard()
            await call.type("A table for two, please.", expect="table for two")
            # Nobody tells: only the check does that is made when the wait for the caller is over.
            await call.until_present()
            answer = await call.type("My name is Ruth.", expect="Ruth")
            talking = await deaf.client.status(call.session_id)
            health = (await deaf.client.http.get("/health/agent")).json()
            home = find_home(given=tmp_path)
            found = await asyncio.to_thread(lambda: list(examine(home, os.environ)))
        closed = await deaf.client.closed(call.session_id, 60)
        assert (talking.state, talking.caller_present) == (SessionState.LIVE, True), answer
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
        told = [entry.text for entry in closed.timeline]
        assert any("no LiveKit webhook had reported it" in text for text in told), told
        assert health["status"] == "ok", "calls work"
        assert "refused: the signature is not valid" in health["livekit_webhooks"]["detail"]
        [finding] = [one for one in found if one.title == "LiveKit's webhooks"]
        assert not finding.ok
        assert "webhook.api_key" in finding.cure
        await require_invariants(deaf)
