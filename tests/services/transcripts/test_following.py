"""Who follows a session's turns reads each once, and misses none."""

from collections.abc import Sequence

from domain.ids import SessionKey
from domain.transcripts.transcript import WRITE_SECONDS, StoredTurn
from services.transcripts.following import TurnFollower
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import NOON, report, turn
from tests.fakes.archives import MemoryTranscripts

KEY = SessionKey("acme", "call-1")


class Counting(MemoryTranscripts):
    """Counts the turns that are read, and can delay what a write has stored."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.in_progress: set[int] = set()
        """Positions of writes that nobody sees yet."""

    async def stored_turns(self, key: SessionKey) -> list[StoredTurn]:
        return self._counted(await super().stored_turns(key))

    async def turns_after(
        self, key: SessionKey, position: int, also: Sequence[int] = ()
    ) -> list[StoredTurn]:
        return self._counted(await super().turns_after(key, position, also))

    def _counted(self, found: list[StoredTurn]) -> list[StoredTurn]:
        seen = [one for one in found if one.position not in self.in_progress]
        self.read += len(seen)
        return seen


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def seqs(follower: TurnFollower) -> list[int | None]:
    return [one.turn.seq for one in await follower.turns()]


async def test_only_what_is_new_is_read() -> None:
    archive = Counting()
    for seq in range(200):
        await archive.add_turns(KEY, [turn(seq)])
    follower = TurnFollower(archive, KEY)

    assert await seqs(follower) == list(range(200))
    for _ in range(20):
        await follower.turns()
    assert archive.read == 200

    await archive.add_turns(KEY, [turn(200)])
    assert await seqs(follower) == list(range(201))
    assert archive.read == 201


async def test_nothing_new_is_the_same_object() -> None:
    archive = Counting()
    await archive.add_turns(KEY, [turn(0)])
    follower = TurnFollower(archive, KEY)

    assert await follower.turns() is await follower.turns()


async def test_a_revised_turn_is_read_again_and_keeps_its_place() -> None:
    archive = Counting()
    await archive.add_turns(KEY, [turn(0, "I"), turn(1)])
    follower = TurnFollower(archive, KEY)
    await follower.turns()

    await archive.add_turns(KEY, [turn(0, "I want a table")])

    texts = [(one.turn.text, one.revision) for one in await follower.turns()]
    assert texts == [("I want a table", 1), ("utterance 1", 0)]
    assert archive.read == 3


async def test_a_write_that_is_seen_after_a_later_one_is_not_missed() -> None:
    archive, clock = Counting(), Clock()
    follower = TurnFollower(archive, KEY, clock)
    await archive.add_turns(KEY, [turn(0)])
    assert await seqs(follower) == [0]
    await archive.add_turns(KEY, [turn(1)])
    await archive.add_turns(KEY, [turn(2)])
    archive.in_progress = {2}

    assert await seqs(follower) == [0, 2]
    clock.now = WRITE_SECONDS - 1
    archive.in_progress = set()

    assert await seqs(follower) == [0, 1, 2]
    assert archive.read == 3


async def test_a_write_that_failed_is_asked_for_only_until_it_must_have_ended() -> None:
    archive, clock = Counting(), Clock()
    follower = TurnFollower(archive, KEY, clock)
    for seq in range(3):
        await archive.add_turns(KEY, [turn(seq)])
    archive.in_progress = {2}
    assert await seqs(follower) == [0, 2]

    clock.now = WRITE_SECONDS + 1
    await follower.turns()
    archive.in_progress = set()

    assert await seqs(follower) == [0, 2]


async def test_a_deleted_transcript_is_gone() -> None:
    archive = Counting()
    await archive.add_turns(KEY, [turn(0), turn(1)])
    follower = TurnFollower(archive, KEY)
    await follower.turns()

    archive.forget(KEY)

    assert await seqs(follower) == []


async def test_a_seal_reads_the_turns_once() -> None:
    archive = Counting()
    await archive.add_turns(KEY, [turn(seq) for seq in range(50)])
    transcripts = Transcripts(archive)
    await transcripts.record_report(KEY, report(), NOON)
    archive.read = 0

    await transcripts.seal(KEY, None, 1, NOON)

    assert archive.read == 50
