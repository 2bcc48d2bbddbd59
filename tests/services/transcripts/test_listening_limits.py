"""What a listener keeps in memory is bounded, however much is said while MongoDB is away."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog
from temporalio.testing import ActivityEnvironment

from activities import listening
from activities.listening import ListenActivities, ListenToAgent
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.transcripts.listening import Heard
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from tests.fakes.archives import MemoryTranscripts

ORDER = ListenToAgent(
    org="acme", session_id="s1", livekit_room="acme.room", attempt=1, agent_identity="agent"
)


class Away(MemoryTranscripts):
    """MongoDB is away, until the flood is over."""

    away = True

    async def add_turns(
        self, key: SessionKey, turns: Sequence[Turn], *, reported: bool = False
    ) -> int:
        if self.away:
            raise StorageUnavailable("MongoDB does not answer")
        return await super().add_turns(key, turns, reported=reported)


class Flood:
    """A room in which ten long segments are said at once."""

    def __init__(self, archive: Away) -> None:
        self._archive = archive

    @asynccontextmanager
    async def listen(
        self, room: str, identity: str, agent: str
    ) -> AsyncGenerator[AsyncIterator[Heard]]:
        yield self._heard()

    async def _heard(self) -> AsyncGenerator[Heard]:
        now = datetime.now(UTC)
        for number in range(10):
            yield Heard(
                segment=f"SG_{number}",
                role=Role.USER,
                text="x" * 100,
                began_at=now,
                ended_at=now,
            )
        self._archive.away = False


@pytest.mark.parametrize("limit", ["MOST_WAITING", "MOST_WAITING_CHARS"])
async def test_turns_beyond_a_limit_are_counted_as_lost(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, limit, 4 if limit == "MOST_WAITING" else 400)
    archive = Away()
    activity = ListenActivities(Flood(archive), Transcripts(archive)).listen_to_agent
    with structlog.testing.capture_logs() as logged:
        stored = await ActivityEnvironment().run(activity, ORDER)

    assert stored == len(await archive.turns(ORDER.key)) == 4
    [lost] = [line for line in logged if line["event"] == "heard turns are lost"]
    assert lost["turns"] == 6
