"""The status of a session whose workflow was terminated."""

import uuid

from adapters.temporal.client import connect
from adapters.temporal.sessions import TemporalSessions
from domain.ids import session_workflow_id
from domain.sessions.session import Outcome, SessionState, Stage
from tests.workflows.calls import Studio


async def test_a_session_that_no_worker_ever_ran_is_closed_like_any_other(studio: Studio) -> None:
    request = studio.call().request.model_copy(update={"metadata": {"order": "7"}})
    client = await connect(studio.settings)
    sessions = TemporalSessions(client, f"nobody-{uuid.uuid4().hex}")
    await sessions.start(request, Stage.ACCEPTED, 5)
    await client.get_workflow_handle(session_workflow_id(request.key)).terminate()

    status = await sessions.status(request.key)

    assert (status.state, status.outcome) == (SessionState.CLOSED, Outcome.FAILED)
    assert (status.session_id, status.metadata) == (request.session_id, {"order": "7"})
    assert status.room_name == request.livekit_room
    assert status.closed_at is not None
