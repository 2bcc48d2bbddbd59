"""Delete transcripts on request or when they expire, each with an audit entry."""

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
    """An org, and when the calls ended whose transcripts are to go."""

    org: str
    before: datetime


class Due(BaseModel):
    """The orgs of one part of the walk; `next` is where the following part begins."""

    orgs: list[DueOrg]
    next: str | None = None


class Expired(BaseModel):
    """What was deleted because its time was over."""

    transcripts: int = 0
    removed: Removed = Removed()
    not_deleted: int = 0
    """Transcripts that are kept although their time is over: a recording could not be deleted."""
    more: bool = False
    """Whether there may be more to delete."""
    after: str | None = None
    """Place of the last transcript that was looked at."""

    def plus(self, other: "Expired") -> "Expired":
        """Both together; `more` is the other's, and so is the place if it has one."""
        return Expired(
            transcripts=self.transcripts + other.transcripts,
            removed=self.removed.plus(other.removed),
            not_deleted=self.not_deleted + other.not_deleted,
            more=other.more,
            after=other.after or self.after,
        )


@dataclass
class Retention:
    """Deletes transcripts.

    `files` is None where no storage of recordings is configured; `default_days` is for orgs that
    have chosen nothing, 0 keeps for ever.
    """

    transcripts: TranscriptRemoval
    rules: RetentionRules
    audit: AuditLog
    files: RecordingFiles | None
    default_days: int

    # ── by hand ──────────────────────────────────────────────────────────────────────────────────

    async def delete(self, who: Principal, session_id: str, now: datetime) -> Removed:
        """Delete the transcript of a session that is closed, for good.

        Interrupted, the same call again goes on; there is one audit entry all the same.

        Raises:
            NotFound: it was deleted before.
            Unavailable: not all of it is deleted, or there is a recording and no way to its
                storage; to be called again.
        """
        key = SessionKey(who.org, session_id)
        removed = await self._remove(key, actor(who), now)
        entry = AuditEntry(
            org=who.org,
            id=f"{AuditAction.TRANSCRIPT_DELETED.value}:{session_id}",
            at=now,
            action=AuditAction.TRANSCRIPT_DELETED,
            actor=actor(who),
            subject=session_id,
            details=_counts(removed),
        )
        if not await self.audit.add(entry) and removed == Removed():
            raise NotFound(f"there is no transcript of session {session_id}", field="sessionId")
        return removed

    async def drop_late(self, key: SessionKey, recording: CallRecording | None) -> bool:
        """Delete a recording that arrived after its transcript was deleted; whether it was deleted.

        Raises:
            Unavailable: the storage did not do it; to be sent again.
        """
        deleted = await self.transcripts.is_removed(key)
        if deleted and recording:
            await self._delete_files(key, [recording])
        return deleted

    async def is_deleted(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted, by hand or when its time was over."""
        return await self.transcripts.is_removed(key)

    async def rule(self, org: str) -> RetentionRule:
        """What the org has chosen."""
        return await self.rules.get(org)

    async def choose(self, who: Principal, days: int | None, now: datetime) -> RetentionRule:
        """Choose how long the org's transcripts are kept; None goes back to the default.

        Raises:
            Unavailable: it was not stored.
        """
        before = await self._days_before(who.org)
        rule = RetentionRule(org=who.org, days=days, updated_at=now, updated_by=actor(who))
        await self.rules.put(rule)
        # Its id is the time: a change to the same value is a deed as well.
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

    async def _days_before(self, org: str) -> int | str | None:
        try:
            return (await self.rules.get(org)).days
        except Unreadable:
            # Choosing a new rule repairs it.
            return "unreadable"

    # ── by time ──────────────────────────────────────────────────────────────────────────────────

    async def due(self, after: str | None, limit: int, now: datetime) -> Due:
        """Of the next `limit` orgs, those whose transcripts are not kept for ever.

        An org whose choice cannot be read keeps its transcripts until it can.
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
        """Delete the next `limit` of the org's transcripts whose time is over, the oldest first.

        One whose recording cannot be deleted now is kept, and keeps no other: the next day's run
        comes to it again.

        Args:
            due: the org, and which are to go.
            limit: how many are looked at.
            after: the place behind which to begin, of an earlier batch; None at the oldest.
            by: what the tombstones name.
            now: the time.
            progress: told after each transcript what is done, and how far.

        Raises:
            Unavailable: MongoDB does not do it; the same call again goes on.
        """
        old = await self.transcripts.ended_before(due.org, due.before, limit, after)
        done = Expired(after=after)
        for each in old:
            one = await self._expire_one(each.key, by, now)
            done = done.plus(one.model_copy(update={"after": each.place}))
            progress(done)
        return done.model_copy(update={"more": len(old) == limit})

    async def _expire_one(self, key: SessionKey, by: str, now: datetime) -> Expired:
        recordings = await self.transcripts.recordings(key)
        try:
            await self._delete_files(key, recordings)
        except Unavailable as error:
            log.error(
                "a transcript is kept although its time is over",
                org=key.org,
                session=key.session_id,
                reason=error.message,
            )
            return Expired(not_deleted=1)
        return Expired(transcripts=1, removed=await self.transcripts.remove(key, by, now))

    async def record_expired(
        self, due: DueOrg, expired: Expired, run_id: str, now: datetime
    ) -> None:
        """Write the audit entry of one run in one org, once."""
        entry = AuditEntry(
            org=due.org,
            id=f"{AuditAction.RETENTION_APPLIED.value}:{run_id}",
            at=now,
            action=AuditAction.RETENTION_APPLIED,
            actor="retention",
            details={
                "transcripts": expired.transcripts,
                **_counts(expired.removed),
                "not_deleted": expired.not_deleted,
                "ended_before": due.before.isoformat(),
            },
        )
        await self.audit.add(entry)

    async def _remove(self, key: SessionKey, by: str, now: datetime) -> Removed:
        # Files first: once their links are gone nobody would find them.
        await self._delete_files(key, await self.transcripts.recordings(key))
        return await self.transcripts.remove(key, by, now)

    async def _delete_files(self, key: SessionKey, recordings: Sequence[CallRecording]) -> None:
        # A report may name any path, also another session's.
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
    """How a principal is named in records."""
    return f"user {who.user_id}" if who.user_id else "an API key without a user"


def _counts(removed: Removed) -> dict[str, int | str | None]:
    return dict(removed.model_dump())
