"""Summarise a session's transcript: pending, then ready or failed."""

from datetime import datetime

from domain.errors import EverlineError
from domain.ids import SessionKey
from domain.ports import Summariser, SummaryArchive, TranscriptArchive
from domain.summary import Summary, SummaryStatus
from domain.transcript import transcript_digest

NOTHING_SAID = "The call ended before anything was said."


class Summaries:
    """There is one writer per session: its summary workflow."""

    def __init__(
        self, summaries: SummaryArchive, transcripts: TranscriptArchive, summariser: Summariser
    ) -> None:
        self._summaries = summaries
        self._transcripts = transcripts
        self._summariser = summariser

    async def begin(self, key: SessionKey, now: datetime) -> None:
        """Show that a summary is on its way."""
        await self._summaries.put(self._record(key, SummaryStatus.PENDING, now))

    async def write(self, key: SessionKey, attempt: int, now: datetime) -> Summary:
        """Summarise and store; a failed attempt is recorded with its reason and raised again.

        Raises:
            EverlineError: why it failed; `Unavailable` is worth another attempt.
        """
        turns = await self._transcripts.turns(key)
        try:
            text = await self._summariser.summarise(turns) if turns else NOTHING_SAID
        except EverlineError as error:
            failed = self._record(key, SummaryStatus.PENDING, now, attempt, error=error.message)
            await self._summaries.put(failed)
            raise
        ready = self._record(key, SummaryStatus.READY, now, attempt)
        ready.text = text
        ready.transcript_digest = transcript_digest(turns)
        await self._summaries.put(ready)
        return ready

    async def give_up(self, key: SessionKey, reason: str, now: datetime) -> None:
        """Record that no summary will come, and why."""
        last = await self._summaries.get(key)
        failed = self._record(key, SummaryStatus.FAILED, now, last.attempts if last else 0)
        failed.error = (last.error if last else None) or reason
        await self._summaries.put(failed)

    def _record(
        self,
        key: SessionKey,
        status: SummaryStatus,
        now: datetime,
        attempts: int = 0,
        error: str | None = None,
    ) -> Summary:
        return Summary(
            org=key.org,
            session_id=key.session_id,
            status=status,
            attempts=attempts,
            error=error,
            summariser=self._summariser.name,
            updated_at=now,
        )
