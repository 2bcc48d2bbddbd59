"""Calls that are over, as the archive of a house keeps them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.mongo import MongoArchive
from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState, SessionStatus, WaitingFor
from domain.transcripts.report_items import AgentError
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import AgentReport
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import conversation

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class PastCalls:
    """Stores the calls of one org, by the ways that the worker and the API take."""

    archive: MongoArchive
    org: str

    def key(self, name: str) -> SessionKey:
        return SessionKey(self.org, name)

    async def call(
        self,
        name: str,
        *lines: str,
        minute: float = 0,
        minutes: float = 5,
        agent: str | None = "ag-1",
        reported: bool = True,
        summary: SummaryStatus | None = SummaryStatus.READY,
        **status: Any,
    ) -> SessionKey:
        """A call that began `minute` minutes after noon, with these lines (`caller: Hello`)."""
        key = self.key(name)
        began = START + timedelta(minutes=minute)
        transcripts = Transcripts(self.archive.transcripts)
        turns = [
            turn.model_copy(update={"created_at": began + timedelta(seconds=10 * number)})
            for number, turn in enumerate(conversation(*lines))
        ]
        await transcripts.record_turns(key, turns, began)
        if reported:
            lost = AgentError(stage="tts_error", kind="APITimeoutError", recoverable=True)
            report = AgentReport(attempt=1, job_id="AJ_1", turns=turns, errors=[lost])
            await transcripts.record_report(key, report, began)
        await transcripts.seal(key, agent, 1, began + timedelta(minutes=minutes))
        if summary:
            await self.archive.summaries.put(
                Summary(
                    org=key.org,
                    session_id=name,
                    status=summary,
                    text="a table" if summary is SummaryStatus.READY else None,
                    updated_at=began,
                )
            )
        await self.archive.sessions.record(self.status(name, began, minutes, agent, **status))
        return key

    def status(
        self, name: str, began: datetime, minutes: float, agent: str | None, **changed: Any
    ) -> SessionStatus:
        """The last record of a call."""
        status = SessionStatus(
            org=self.org,
            session_id=name,
            room_name=f"{self.org}.{name}",
            state=SessionState.CLOSED,
            waiting_for=WaitingFor.NOTHING,
            version=10,
            agent_id=agent,
            agent_name="test-agent",
            user_id="anna",
            outcome=Outcome.COMPLETED,
            end_reason=EndReason.CALLER_LEFT,
            attempt=1,
            joins=1,
            join_seconds=0.5,
            started_at=began,
            joined_at=began,
            ended_at=began + timedelta(minutes=minutes),
            closed_at=began + timedelta(minutes=minutes, seconds=2),
        )
        return status.model_copy(update=changed)
