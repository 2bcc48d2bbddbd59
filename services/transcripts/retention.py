"""Delete transcripts on request or when they expire, and audit each deletion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import BaseModel

from domain.access.audit import AuditAction, AuditEntry
from domain.access.ports import AuditLog
from domain.access.principal import Principal
from domain.errors import NotFound, StorageUnavailable, Unavailable, Unreadable
from domain.ids import SessionKey
from domain.recordings.recording import CallRecording, RecordingState, belongs_to
from domain.transcripts.ports import RecordingFiles, RetentionRules, TranscriptRemoval
from domain.transcripts.retention import Removed, RetentionRule

log = structlog.get_logger()


class DueOrg(BaseModel):
    """An org with expired transcripts: those of calls that ended before `before`."""

    org: str
    before: datetime


class Due(BaseModel):
    """A page of orgs; `next` is the cursor of the following page."""

    orgs: list[DueOrg]
    next: str | None = None


class Expired(BaseModel):
    """The result of deleting expired transcripts."""

    transcripts: int = 0
    removed: Removed = Removed()
    not_deleted: int = 0
    """Expired transcripts that are kept because a recording could not be deleted."""
    more: bool = False
    """Whether there may be more to delete."""
    after: str | None = None
    """Sort key of the last transcript that was processed."""

    def plus(self, other: "Expired") -> "Expired":
        """The sum; `more` is the other's, and so is `after` if the other has one."""
        return Expired(
            transcripts=self.transcripts + other.transcripts,
            removed=self.removed.plus(other.removed),
            not_deleted=self.not_deleted + other.not_deleted,
            more=other.more,
            after=other.after or self.after,
        )


@dataclass
class Retention:
    """Deletes transcripts on request, and those that are older than their org's rule allows."""

    transcripts: TranscriptRemoval
    rules: RetentionRules
    audit: AuditLog
    files: RecordingFiles | None
    """None if no recording storage is configured."""
    default_days: int
    """For orgs without a rule; 0 keeps transcripts for ever."""

    async def delete(self, who: Principal, session_id: str, now: datetime) -> Removed:
        """Permanently delete the transcript of a closed session.

        Safe to repeat after an error: the deletion continues, with one audit entry in all.

        Raises:
            NotFound: it was deleted before.
            Unavailable: not all of it is deleted; repeat the call.
        """
        key = SessionKey(who.org, session_id)
        # Files first: nothing else knows where they are.
        await self._delete_files(key, await self.transcripts.recordings(key))
        removed = await self.transcripts.remove(key, actor(who), now)
        deletion = AuditEntry(
            org=who.org,
            id=f"{AuditAction.TRANSCRIPT_DELETED.value}:{session_id}",
            at=now,
            action=AuditAction.TRANSCRIPT_DELETED,
            actor=actor(who),
            subject=session_id,
            details={**removed.model_dump()},
        )
        if not await self.audit.add(deletion) and removed == Removed():
            raise NotFound(f"there is no transcript of session {session_id}", field="sessionId")
        return removed

    async def drop_late(self, key: SessionKey, recording: CallRecording | None) -> bool:
        """Whether the transcript was deleted; then a late recording is deleted as well.

        Raises:
            Unavailable: the recording is not deleted; the agent has to send it again.
        """
        deleted = await self.transcripts.is_removed(key)
        if deleted and recording:
            await self._delete_files(key, [recording])
        return deleted

    async def is_deleted(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted, on request or when it expired."""
        return await self.transcripts.is_removed(key)

    async def rule(self, org: str) -> RetentionRule:
        """The org's rule."""
        return await self.rules.get(org)

    async def choose(self, who: Principal, days: int | None, now: datetime) -> RetentionRule:
        """Choose how long the org's transcripts are kept; None restores the default.

        Raises:
            Unavailable: the rule was not stored.
        """
        try:
            before: int | str | None = (await self.rules.get(who.org)).days
        except Unreadable:
            before = "unreadable"  # The new rule repairs it.
        rule = RetentionRule(org=who.org, days=days, updated_at=now, updated_by=actor(who))
        await self.rules.put(rule)
        # The id is the time, because choosing the same value again is audited as well.
        entry = AuditEntry(
            org=who.org,
            id=f"{AuditAction.RETENTION_CHANGED.value}:{now.timestamp():.6f}",
            at=now,
            action=AuditAction.RETENTION_CHANGED,
            actor=actor(who),
            details={"days": days, "days_before": before},
        )
        await self.audit.add(entry)
        return await self.rules.get(who.org)

    async def due(self, after: str | None, limit: int, now: datetime) -> Due:
        """Of the next `limit` orgs, those whose transcripts expire.

        The transcripts of an org with an unreadable rule are kept.
        """
        orgs = await self.transcripts.orgs(after, limit)
        due: list[DueOrg] = []
        for org in orgs:
            try:
                chosen = (await self.rules.get(org)).days
            except Unreadable as error:
                log.error("an org's transcripts are kept", org=org, reason=error.message)
                continue
            days = self.default_days if chosen is None else chosen
            if days:
                due.append(DueOrg(org=org, before=now - timedelta(days=days)))
        return Due(orgs=due, next=orgs[-1] if len(orgs) == limit else None)

    async def expire(
        self,
        due: DueOrg,
        limit: int,
        after: str | None,
        by: str,
        now: datetime,
        progress: Callable[[Expired], None],
    ) -> Expired:
        """Delete the next `limit` expired transcripts of the org, oldest first.

        A transcript whose recording cannot be deleted is kept until the next run.

        Args:
            due: the org.
            limit: how many transcripts to process.
            after: `after` of the previous batch; None begins at the oldest.
            by: who deletes, for the tombstones.
            now: the time.
            progress: called with the sum after each transcript.

        Raises:
            Unavailable: MongoDB does not answer; the same call continues.
        """
        old = await self.transcripts.ended_before(due.org, due.before, limit, after)
        done = Expired(after=after)
        for each in old:
            key, recordings = each.key, await self.transcripts.recordings(each.key)
            try:
                await self._delete_files(key, recordings)
            except Unavailable as error:
                log.error(
                    "an expired transcript is kept",
                    org=key.org,
                    session=key.session_id,
                    reason=error.message,
                )
                one = Expired(not_deleted=1, after=each.place)
            else:
                removed = await self.transcripts.remove(key, by, now)
                one = Expired(transcripts=1, removed=removed, after=each.place)
            done = done.plus(one)
            progress(done)
        return done.model_copy(update={"more": len(old) == limit})

    async def record_expired(
        self, due: DueOrg, expired: Expired, run_id: str, now: datetime
    ) -> None:
        """Add the audit entry of one run in one org, once."""
        entry = AuditEntry(
            org=due.org,
            id=f"{AuditAction.RETENTION_APPLIED.value}:{run_id}",
            at=now,
            action=AuditAction.RETENTION_APPLIED,
            actor="retention",
            details={
                "transcripts": expired.transcripts,
                **expired.removed.model_dump(),
                "not_deleted": expired.not_deleted,
                "ended_before": due.before.isoformat(),
            },
        )
        await self.audit.add(entry)

    async def _delete_files(self, key: SessionKey, recordings: Sequence[CallRecording]) -> None:
        # A report may name any path, even another session's.
        ours = [recording for recording in recordings if belongs_to(recording, key)]
        if self.files is None:
            if any(recording.state is RecordingState.STORED for recording in ours):
                raise StorageUnavailable(
                    "the call was recorded, and the storage of recordings is not configured here",
                    field="EVERLINE_RECORDINGS_URL",
                    cure="set it for API and worker to the agent worker's value",
                    retry_after=60,
                )
            return
        for recording in ours:
            await self.files.delete(recording.path)


def actor(who: Principal) -> str:
    """The principal's name in records."""
    return f"user {who.user_id}" if who.user_id else "an API key without a user"
