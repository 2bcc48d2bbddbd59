"""A summary is pending, then ready or failed, with its attempts and the reason."""

from collections.abc import Sequence

import pytest

from domain.errors import InvalidInput, NotFound, Unavailable
from domain.ids import SessionKey
from domain.transcripts.analysis import AnalysisPlan, AnalysisStatus, Criterion, Findings
from domain.transcripts.summary import SummaryOrder
from domain.transcripts.transcript import Turn, transcript_digest
from services.transcripts.summaries import NO_ANALYST, NOTHING_SAID, Summaries
from tests.adapters.mongo.examples import NOON, turn
from tests.fakes.archives import MemoryArchive, ScriptedSummariser

KEY = SessionKey("acme", "call-1")
ORDER = SummaryOrder(org="acme", session_id="call-1")
PLAN = AnalysisPlan(
    summary_prompt="for the kitchen",
    success_criteria=[Criterion(id="booked", description="a table was booked")],
)
PLANNED = ORDER.model_copy(update={"plan": PLAN})


def _summaries() -> tuple[Summaries, MemoryArchive, ScriptedSummariser]:
    archive, summariser = MemoryArchive(), ScriptedSummariser()
    return Summaries(archive.summaries, archive.transcripts, summariser), archive, summariser


async def test_it_is_pending_until_it_is_written() -> None:
    summaries, archive, _ = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello"), turn(1)])

    await summaries.begin(ORDER, NOON)
    written = await summaries.write(ORDER, 1, NOON)

    assert [record.status for record in archive.summaries.records[KEY]] == ["pending", "ready"]
    assert written.text == "2 turns about Hello"
    assert (written.attempts, written.error, written.summariser) == (1, None, "scripted")
    assert written.transcript_digest == transcript_digest([turn(0, "Hello"), turn(1)])


async def test_a_call_without_words_needs_no_model() -> None:
    summaries, _, summariser = _summaries()

    assert (await summaries.write(ORDER, 1, NOON)).text == NOTHING_SAID
    assert summariser.calls == []


async def test_a_failed_attempt_is_recorded_and_raised() -> None:
    summaries, archive, summariser = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello")])
    summariser.faults["Hello"] = [
        Unavailable("the model is busy"),
        InvalidInput("no such model", cure="check SUMMARISER_MODEL"),
    ]

    for attempt, kind in ((1, Unavailable), (2, InvalidInput)):
        with pytest.raises(kind):
            await summaries.write(ORDER, attempt, NOON)
    await summaries.fail(ORDER, "gave up", NOON)

    told = [(r.status, r.attempts, r.error) for r in archive.summaries.records[KEY]]
    assert told == [
        ("pending", 1, "the model is busy"),
        ("pending", 2, "no such model; check SUMMARISER_MODEL"),
        ("failed", 2, "no such model; check SUMMARISER_MODEL"),
    ]


async def test_giving_up_without_a_known_cause_tells_the_given_reason() -> None:
    summaries, archive, _ = _summaries()

    await summaries.fail(ORDER, "the worker went away", NOON)

    last = archive.summaries.records[KEY][-1]
    assert (last.status, last.attempts, last.error) == ("failed", 0, "the worker went away")


# ── analysis ─────────────────────────────────────────────────────────────────────────────────────


class Analyses:
    """The port `Analyst`: what a test hands it, one after the other."""

    def __init__(self, *answers: Findings | Exception) -> None:
        self.answers = list(answers)

    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        assert plan == PLAN
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _analysed(*answers: Findings | Exception) -> tuple[Summaries, MemoryArchive]:
    """A summary that is written, with an analysis to be made."""
    archive = MemoryArchive()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello")])
    summaries = Summaries(
        archive.summaries, archive.transcripts, ScriptedSummariser(), Analyses(*answers)
    )
    await summaries.begin(PLANNED, NOON)
    await summaries.write(PLANNED, 1, NOON)
    return summaries, archive


async def test_an_analysis_is_pending_once_the_summary_is_ready_and_then_ready() -> None:
    found = Findings(data={"guests": 4})
    summaries, archive = await _analysed(Unavailable("busy"), found)
    pending = archive.summaries.records[KEY][-1]
    assert (pending.status, pending.plan) == ("ready", PLAN)
    assert pending.analysis
    assert pending.analysis.status is AnalysisStatus.PENDING

    with pytest.raises(Unavailable):
        await summaries.analyse(PLANNED, 1, NOON)
    await summaries.analyse(PLANNED, 2, NOON)

    told = [r.analysis for r in archive.summaries.records[KEY] if r.analysis]
    assert [(a.status, a.attempts, a.reason, a.data) for a in told] == [
        ("pending", 0, None, None),
        ("pending", 1, "busy", None),
        ("ready", 2, None, {"guests": 4}),
    ]
    assert archive.summaries.records[KEY][-1].text == "1 turns about Hello"


async def test_an_analysis_that_fails_leaves_the_summary_ready() -> None:
    summaries, archive = await _analysed(InvalidInput("it did not fit, twice"))
    with pytest.raises(InvalidInput):
        await summaries.analyse(PLANNED, 1, NOON)
    await summaries.fail_analysis(PLANNED, "gave up", NOON)

    last = archive.summaries.records[KEY][-1]
    assert (last.status, last.error) == ("ready", None)
    assert last.analysis
    assert (last.analysis.status, last.analysis.reason) == ("failed", "it did not fit, twice")


async def test_what_was_deleted_meanwhile_is_not_written_again() -> None:
    summaries, archive = await _analysed(Findings())
    archive.summaries.records[KEY].clear()
    with pytest.raises(NotFound):
        await summaries.analyse(PLANNED, 1, NOON)
    await summaries.fail_analysis(PLANNED, "gave up", NOON)
    assert archive.summaries.records[KEY] == []


async def test_without_a_model_or_words_an_analysis_is_unavailable_with_the_reason() -> None:
    summaries, archive, _ = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello")])
    written = await summaries.write(PLANNED, 1, NOON)
    assert written.analysis
    assert (written.analysis.status, written.analysis.reason) == ("unavailable", NO_ANALYST)

    empty = MemoryArchive()
    silent = Summaries(empty.summaries, empty.transcripts, ScriptedSummariser(), Analyses())
    written = await silent.write(PLANNED, 1, NOON)
    assert written.analysis
    assert (written.analysis.status, written.analysis.reason) == (
        "unavailable",
        "nothing was said",
    )


async def test_a_summary_stays_readable_until_the_next_one_is_ready() -> None:
    summaries, archive, summariser = _summaries()
    await archive.transcripts.add_turns(KEY, [turn(0, "Hello")])
    await summaries.begin(ORDER, NOON)
    await summaries.write(ORDER, 1, NOON)
    again = ORDER.model_copy(update={"revision": 2})
    summariser.faults["Hello"] = [InvalidInput("no such model")]

    await summaries.begin(again, NOON)
    with pytest.raises(InvalidInput):
        await summaries.write(again, 1, NOON)
    await summaries.fail(again, "gave up", NOON)
    await summaries.begin(again, NOON)
    await archive.transcripts.add_turns(KEY, [turn(1, "Late")])
    await summaries.write(again, 1, NOON)

    told = [(r.revision, r.status, r.text, r.error) for r in archive.summaries.records[KEY]]
    assert told == [
        (1, "pending", None, None),
        (1, "ready", "1 turns about Hello", None),
        (2, "pending", "1 turns about Hello", None),
        (2, "pending", "1 turns about Hello", "no such model"),
        (2, "failed", "1 turns about Hello", "no such model"),
        (2, "pending", "1 turns about Hello", None),
        (2, "ready", "2 turns about Hello", None),
    ]
