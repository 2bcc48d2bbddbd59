"""What a session is told of a report, also if it is not stored yet."""

from typing import cast

import pytest

from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.messages import ReportReceived
from domain.sessions.ports import Sessions
from services.sessions.control import SessionControl
from services.transcripts.intake import ReportIntake
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, turn
from tests.fakes.archives import MemoryTranscripts, Switch

KEY = SessionKey("acme", "call-1")


class Told:
    """Sessions that keep what they are told."""

    def __init__(self) -> None:
        self.reports: list[ReportReceived] = []

    async def signal(self, key: SessionKey, message: ReportReceived) -> None:
        self.reports.append(message)


async def test_the_next_agent_awaits_the_turns_of_a_report_that_is_sent_again() -> None:
    told, switch = Told(), Switch()
    intake = ReportIntake(
        sessions=cast(Sessions, told),
        control=cast(SessionControl, None),
        transcripts=Transcripts(MemoryTranscripts(switch)),
        retention=None,
    )
    ended = report(turns=[turn(0), turn(1)])

    switch.away = {KEY}
    with pytest.raises(StorageUnavailable):
        await intake.take(KEY, ended, NOON)
    switch.away = set()
    assert await intake.take(KEY, ended, NOON)

    assert [(one.stored, one.undelivered_turn) for one in told.reports] == [
        (False, "item_1"),
        (True, None),
    ]
