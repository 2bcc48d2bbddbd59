"""Why the agent's part ended: the first cause wins."""

import pytest
from livekit import rtc

from agent.call.end_cause import EndCause, requested_end
from domain.sessions.end_reasons import ReportEnd


def test_a_job_that_ends_without_a_cause_was_shut_down() -> None:
    assert EndCause().reason is ReportEnd.SHUTDOWN


def test_the_first_cause_wins() -> None:
    ending = EndCause()

    assert ending.note(ReportEnd.AGENT_ENDED)
    assert not ending.note(ReportEnd.ERROR, "too late")
    assert (ending.reason, ending.error) == (ReportEnd.AGENT_ENDED, None)


def test_a_transfer_that_is_confirmed_late_explains_the_callers_leave() -> None:
    ending, other = EndCause(), EndCause()
    ending.note(ReportEnd.CALLER_LEFT)
    other.note(ReportEnd.MAX_DURATION)

    assert ending.note(ReportEnd.TRANSFERRED)
    assert not other.note(ReportEnd.TRANSFERRED)
    assert ending.reason is ReportEnd.TRANSFERRED


@pytest.mark.parametrize(
    ("disconnect", "reason"),
    [
        (rtc.DisconnectReason.ROOM_DELETED, ReportEnd.ROOM_DELETED),
        (rtc.DisconnectReason.ROOM_CLOSED, ReportEnd.ROOM_DELETED),
        (rtc.DisconnectReason.PARTICIPANT_REMOVED, ReportEnd.UNKNOWN),
        (rtc.DisconnectReason.SERVER_SHUTDOWN, ReportEnd.ERROR),
        (rtc.DisconnectReason.CONNECTION_TIMEOUT, ReportEnd.ERROR),
    ],
)
def test_a_disconnect_by_livekit_is_a_cause(
    disconnect: rtc.DisconnectReason.ValueType, reason: ReportEnd
) -> None:
    ending = EndCause()
    ending.note_disconnect(disconnect)

    assert ending.reason is reason
    assert (ending.error is None) == (reason is ReportEnd.ROOM_DELETED)


def test_our_own_disconnect_is_none() -> None:
    ending = EndCause()
    ending.note_disconnect(rtc.DisconnectReason.CLIENT_INITIATED)

    assert not ending.decided


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("max_duration", ReportEnd.MAX_DURATION),
        ("caller_left", ReportEnd.CALLER_LEFT),
        ("operator", ReportEnd.END_REQUESTED),
        ("", ReportEnd.END_REQUESTED),
    ],
)
def test_a_request_to_finish_gives_the_reason_if_a_report_can_have_it(
    asked: str, reason: ReportEnd
) -> None:
    assert requested_end(asked) is reason
