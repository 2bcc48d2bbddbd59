"""MongoDB is the archive, not the truth: sessions live without it, and it catches up."""

from pathlib import Path

import httpx

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.summary import SummaryStatus
from tests.harness.agent_callbacks import report
from tests.harness.rig import Rig, running_rig
from tests.invariants import require_invariants
from tests.waiting import eventually


async def test_a_session_runs_where_mongodb_is_not_configured(rig: Rig, tmp_path: Path) -> None:
    # The models are lent by the shared stack; everything else is this one's own.
    models = f"http://127.0.0.1:{rig.stack.ports.models}/v1"
    async with running_rig(
        tmp_path,
        without=("mongodb", "models"),
        settings={"agent": {"OPENAI_BASE_URL": models}},
    ) as bare:
        async with bare.call() as call:
            await call.type("A table for six, please.", expect="table for six")
            for path in ("turns", "summary"):
                refused = await bare.client.http.get(f"/v1/sessions/{call.session_id}/{path}")
                assert refused.status_code == 503
                assert "MONGODB_URI" in refused.text
            saved = await bare.client.try_start(agent_id="saved-agent")
            assert saved.status_code == 503
            answer = await bare.agent(call.key).report(report(end_reason="agent_ended"))
            assert answer.status_code == 200
            assert answer.json()["stored"] is False
            closed = await bare.client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.AGENT_ENDED)
        assert closed.archived is None
        await require_invariants(bare)


async def test_a_transcript_is_complete_once_mongodb_is_back(rig: Rig) -> None:
    async with rig.call(limits={"archive_wait": 2}) as call:
        await call.type("A table for four, please.", expect="table for four")
        await rig.client.until_turns(call.session_id, 2)
        await rig.stack.stop_part("mongodb")
        try:
            answer = await call.type("My name is Ruth.", expect="Ruth", also="table for four")
            assert "table for four" in answer
            await rig.client.end(call.session_id)
            closed = await rig.client.closed(call.session_id, 60)
        finally:
            await rig.stack.start_part("mongodb")
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)
    assert closed.archived is False

    async def complete() -> bool:
        try:
            transcript = await rig.client.transcript(call.session_id)
        except httpx.HTTPStatusError:
            return False  # the API has not found MongoDB again yet
        return transcript.header is not None and transcript.header.complete

    await eventually(complete, 60, "the transcript is complete")
    transcript = await rig.client.transcript(call.session_id)
    assert "Ruth" in " ".join(transcript.said("user"))
    assert [one.role for one in transcript.turns] == ["user", "assistant", "user", "assistant"]

    async def summarised() -> bool:
        summary = await rig.client.http.get(f"/v1/sessions/{call.session_id}/summary")
        return summary.is_success and summary.json()["status"] == SummaryStatus.READY

    await eventually(summarised, 60, "the summary follows")
