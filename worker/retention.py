"""The activities of transcript retention."""

from collections.abc import Callable
from typing import Any

from activities.retention import RetentionActivities
from adapters.mongo.archive import MongoArchive
from adapters.recordings import RecordingStore
from adapters.settings import WorkerSettings
from services.transcripts.retention import Retention


def retention_activities(
    settings: WorkerSettings, archive: MongoArchive | None
) -> list[Callable[..., Any]]:
    """The activities that delete expired transcripts."""
    url = settings.everline_recordings_url
    retention = archive and Retention(
        archive.transcript_lines,
        archive.retention_rules,
        archive.audit,
        RecordingStore(url) if url else None,
        settings.everline_transcript_retention_days,
    )
    activities = RetentionActivities(retention)
    return [activities.next_due_orgs, activities.expire_batch, activities.record_expired]
