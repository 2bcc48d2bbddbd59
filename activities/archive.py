"""Write what belongs into the archive: the session's record and its transcript."""

from datetime import UTC, datetime

from pydantic import BaseModel
from temporalio import activity

from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.ports import SessionArchive
from domain.sessions.session import SessionStatus
from domain.transcripts.analysis import AnalysisPlan
from domain.webhooks.session_events import transcript_ready
from services.transcripts.transcripts import Transcripts
from services.webhooks.delivery import Announcer


class SealTranscript(BaseModel):
    """The transcript to seal."""

    org: str
    session_id: str
    agent_id: str | None
    last_attempt: int
    analysis: AnalysisPlan | None = None
    """What the summary that follows has to find out."""

    @property
    def key(self) -> SessionKey:
        """The session whose transcript it is."""
        return SessionKey(self.org, self.session_id)


class ArchiveActivities:
    """MongoDB is the archive; without it (None) a worker cannot do these."""

    def __init__(
        self,
        sessions: SessionArchive | None,
        transcripts: Transcripts | None,
        announcer: Announcer | None = None,
    ) -> None:
        self._sessions = sessions
        self._transcripts = transcripts
        self._announcer = announcer

    @activity.defn
    async def record_session(self, status: SessionStatus) -> None:
        """Store the session's status as its readable projection, unless a newer one is there."""
        if self._sessions is None:
            raise _not_configured()
        await self._sessions.record(status)

    @activity.defn
    async def seal_transcript(self, order: SealTranscript) -> bool:
        """Merge what was streamed and reported; returns whether the transcript is complete.

        The customer's endpoints are told that it is ready, before this counts as done.
        """
        if self._transcripts is None:
            raise _not_configured()
        header = await self._transcripts.seal(
            order.key, order.agent_id, order.last_attempt, datetime.now(UTC)
        )
        if self._announcer:
            await self._announcer.announce(order.org, [transcript_ready(header)])
        return header.complete


def _not_configured() -> StorageUnavailable:
    return StorageUnavailable(
        "the session was started with MongoDB, and this worker has none",
        field="MONGODB_URI",
        cure="set the worker's MONGODB_URI to the API's value",
    )
