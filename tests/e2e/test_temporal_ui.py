"""What an operator sees in Temporal's own web interface, in a real browser."""

from urllib.parse import quote

from domain.ids import session_workflow_id
from domain.sessions.end_reasons import EndReason
from tests.harness.browser import browser_page
from tests.harness.rig import Rig

STUCK = 'ExecutionStatus = "Running" AND WorkflowType = "session" AND SessionState != "live"'
"""From docs/how-to/operations.md."""


async def test_a_stuck_session_is_found_by_one_query_and_tells_what_was_tried(rig: Rig) -> None:
    prompt = "You keep the lighthouse."
    await rig.stack.stop_part("agent")
    try:
        started = await rig.client.start(
            agent_config={"prompt": prompt}, limits={"join_timeout": 2, "join_attempts": 10}
        )
        session_id = started.key.session_id
        await rig.client.until(session_id, 60, attempt=2)
        name = session_workflow_id(started.key)
        async with browser_page() as page:
            workflows = f"{rig.stack.urls.temporal_ui}/namespaces/default/workflows"
            await page.goto(f"{workflows}?query={quote(STUCK)}")
            await page.get_by_role("link", name=name).first.click()
            # The input is stored encrypted: the page has it read by the codec endpoint.
            await page.get_by_text(prompt).first.wait_for()
            await page.get_by_role("tab", name="User Metadata").click()
            # Texts of workflows are shown in frames of their own.
            summary, details = page.frame_locator("iframe").first, page.frame_locator("iframe").last
            await summary.get_by_text(f"in {started.room}").wait_for()
            await details.get_by_text("attempt 1 failed: no agent within 2 s").wait_for()
        await rig.client.end(session_id)
        closed = await rig.client.closed(session_id)
    finally:
        await rig.start_agent()
    assert (closed.end_reason, closed.joins) == (EndReason.END_REQUESTED, 0)
