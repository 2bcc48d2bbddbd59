"""Record turns and reports, and seal a session's transcript."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.ids import SessionKey
from domain.ports import TranscriptArchive
from domain.transcript import AgentReport, TranscriptHeader, Turn, transcript_digest


@dataclass(frozen=True)
class Recorded:
    """What became of the turns that were handed in."""

    stored: int
    duplicates: int


class Transcripts:
    """Turns and reports are always appended, whatever the attempt and however late.

    The turns are the truth. The header is derived from them and renewed when late material comes:
    whoever writes turns looks for a header afterwards, and whoever writes a header looks at the
    turns and reports again afterwards, so one of the two always sees the other.
    """

    def __init__(self, archive: TranscriptArchive) -> None:
        self._archive = archive

    async def record_turns(self, key: SessionKey, turns: Sequence[Turn], now: datetime) -> Recorded:
        """Store turns once each, however often they come.

        Raises:
            Unavailable: MongoDB did not take them; nothing was acknowledged.
        """
        stored = await self._archive.add_turns(key, turns)
        if stored:
            await self._renew_header(key, now)
        return Recorded(stored, len(turns) - stored)

    async def record_report(self, key: SessionKey, report: AgentReport, now: datetime) -> bool:
        """Keep a report and merge its turns; False if the same report is kept already.

        Raises:
            Unavailable: MongoDB did not take it; nothing was acknowledged.
        """
        # Turns first: once the report is kept, its attempt counts as complete.
        await self._archive.add_turns(key, report.turns)
        new = await self._archive.add_report(key, report)
        await self._renew_header(key, now)
        return new

    async def turns(self, key: SessionKey) -> list[Turn]:
        """The transcript so far, in order."""
        return await self._archive.turns(key)

    async def header(self, key: SessionKey) -> TranscriptHeader | None:
        """The header of a sealed transcript."""
        return await self._archive.header(key)

    async def seal(
        self, key: SessionKey, agent_id: str | None, last_attempt: int, now: datetime
    ) -> TranscriptHeader:
        """Write the transcript's header; complete only if the last attempt's report is in."""
        while True:
            turns = await self._archive.turns(key)
            reported = await self._archive.report_attempts(key)
            header = TranscriptHeader(
                org=key.org,
                session_id=key.session_id,
                agent_id=agent_id,
                complete=last_attempt in reported,
                turn_count=len(turns),
                attempts=last_attempt,
                digest=transcript_digest(turns),
                sealed_at=now,
                updated_at=now,
            )
            await self._archive.put_header(header)
            same_turns = transcript_digest(await self._archive.turns(key)) == header.digest
            if same_turns and await self._archive.report_attempts(key) == reported:
                return header

    async def _renew_header(self, key: SessionKey, now: datetime) -> None:
        header = await self._archive.header(key)
        if header is not None:
            await self.seal(key, header.agent_id, header.attempts, now)
