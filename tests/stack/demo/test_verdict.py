"""The demo succeeds only if all of it happened, and names the first thing that did not."""

from collections.abc import Callable

import pytest

from stack.demo.evidence import AgentInRoom, Evidence, Step
from stack.demo.verdict import NOT_REACHED, check, judge
from tests.stack.demo.evidence_of_a_good_call import AGENT, good_call, status

Damage = Callable[[Evidence], object]


def test_a_call_in_which_everything_happened_passes() -> None:
    checks = judge(good_call())
    assert [found.step for found in checks] == list(Step)
    assert [found for found in checks if not found.ok] == []


def test_nothing_passes_before_it_was_reached() -> None:
    nothing = Evidence(session_id="demo-1", lines=good_call().lines)
    assert {(found.ok, found.detail) for found in judge(nothing)} == {(False, NOT_REACHED)}


def test_a_step_that_could_not_be_done_fails_with_its_reason() -> None:
    seen = good_call()
    seen.faults[Step.SUMMARY] = "503 from the API"
    failed = [found for found in judge(seen) if not found.ok]
    assert [(found.step, found.detail) for found in failed] == [(Step.SUMMARY, "503 from the API")]


def started_without_agent(seen: Evidence) -> None:
    assert seen.started
    seen.started.agent_joined = False


def not_listed(seen: Evidence) -> None:
    seen.agents = []


def listed_but_not_active(seen: Evidence) -> None:
    seen.agents = [AgentInRoom(AGENT, active=False, attempt="1")]


def other_agent_in_room(seen: Evidence) -> None:
    seen.agents = [AgentInRoom("agent-AJ_9", active=True, attempt="1")]


def agent_of_another_attempt(seen: Evidence) -> None:
    seen.agents = [AgentInRoom(AGENT, active=True, attempt="2")]


def caller_alone(seen: Evidence) -> None:
    seen.seen_by_caller = []


def never_joined(seen: Evidence) -> None:
    seen.joined = status(joins=0, agent_identity=None, join_seconds=None, attempt=3)


def nothing_recognised(seen: Evidence) -> None:
    seen.exchanges[1].heard = " "


def other_words_recognised(seen: Evidence) -> None:
    seen.exchanges[2].heard = "I need an animal mirror"


def line_never_said(seen: Evidence) -> None:
    seen.exchanges.pop()


def answer_without_party_size(seen: Evidence) -> None:
    seen.exchanges[0].answer = "Hello! So that is a table for two. For which day?"


def answer_without_name(seen: Evidence) -> None:
    seen.exchanges[2].answer = "So that is a table for four. What name shall I put it under?"


def no_answer(seen: Evidence) -> None:
    seen.exchanges[1].answer = ""


def silent_agent(seen: Evidence) -> None:
    seen.exchanges[1].speech_seconds = 0.2


def no_recording(seen: Evidence) -> None:
    seen.recording = None


def not_closed(seen: Evidence) -> None:
    seen.ended = status(state="persisting", waiting_for="archive")


def report_missing(seen: Evidence) -> None:
    assert seen.ended
    seen.ended.outcome = "report_missing"


def report_not_received(seen: Evidence) -> None:
    assert seen.ended
    seen.ended.report_received = False


def unsealed(seen: Evidence) -> None:
    assert seen.transcript
    seen.transcript.transcript = None


def incomplete(seen: Evidence) -> None:
    assert seen.transcript
    assert seen.transcript.transcript
    seen.transcript.transcript.complete = False


def live_turn_lost(seen: Evidence) -> None:
    assert seen.transcript
    del seen.transcript.turns[3]


def sealed_with_another_count(seen: Evidence) -> None:
    assert seen.transcript
    assert seen.transcript.transcript
    seen.transcript.transcript.turn_count = 6


def callers_turns_missing(seen: Evidence) -> None:
    assert seen.transcript
    assert seen.transcript.transcript
    seen.live_turns = []
    seen.transcript.turns = [turn for turn in seen.transcript.turns if not turn.by_caller]
    seen.transcript.transcript.turn_count = len(seen.transcript.turns)


def summary_pending(seen: Evidence) -> None:
    assert seen.summary
    seen.summary.status = "pending"


def summary_empty(seen: Evidence) -> None:
    assert seen.summary
    seen.summary.text = ""


def summary_of_another_transcript(seen: Evidence) -> None:
    assert seen.summary
    seen.summary.transcript_digest = "d0"


def room_still_there(seen: Evidence) -> None:
    seen.rooms_left = ["local.demo-1"]


def deletion_not_noted(seen: Evidence) -> None:
    assert seen.ended
    seen.ended.room_deleted = False


def caller_still_connected(seen: Evidence) -> None:
    seen.disconnected = False


@pytest.mark.parametrize(
    ("damage", "step", "named"),
    [
        (started_without_agent, Step.START, "without an agent"),
        (never_joined, Step.JOIN, "after 3 attempts"),
        (not_listed, Step.JOIN, "it lists no agent"),
        (listed_but_not_active, Step.JOIN, "as active"),
        (other_agent_in_room, Step.JOIN, "agent-AJ_9"),
        (agent_of_another_attempt, Step.JOIN, "attempt 2"),
        (caller_alone, Step.JOIN, "did not see"),
        (nothing_recognised, Step.RECOGNITION, "nothing was recognised of “Tomorrow"),
        (other_words_recognised, Step.RECOGNITION, "animal mirror"),
        (line_never_said, Step.RECOGNITION, "1 line of the caller's"),
        (answer_without_party_size, Step.ANSWERS, "does not name table for four"),
        (answer_without_name, Step.ANSWERS, "does not name Anna Miller"),
        (no_answer, Step.ANSWERS, "tomorrow or seven in the evening"),
        (silent_agent, Step.AUDIO, "only 0.2 s"),
        (no_recording, Step.AUDIO, "not saved"),
        (not_closed, Step.END, "persisting, waiting for archive"),
        (report_missing, Step.END, "report_missing"),
        (report_not_received, Step.END, "report did not arrive"),
        (unsealed, Step.TRANSCRIPT, "not sealed"),
        (incomplete, Step.TRANSCRIPT, "not sealed as complete"),
        (live_turn_lost, Step.TRANSCRIPT, "was live and is not stored"),
        (sealed_with_another_count, Step.TRANSCRIPT, "6 turns sealed, 7 stored"),
        (callers_turns_missing, Step.TRANSCRIPT, "only 0 turns of the caller"),
        (summary_pending, Step.SUMMARY, "it is pending"),
        (summary_empty, Step.SUMMARY, "ready after"),
        (summary_of_another_transcript, Step.SUMMARY, "not made from the stored transcript"),
        (room_still_there, Step.ROOM, "still lists local.demo-1"),
        (deletion_not_noted, Step.ROOM, "has not recorded"),
        (caller_still_connected, Step.ROOM, "still connected"),
    ],
)
def test_what_did_not_happen_fails_its_step(damage: Damage, step: Step, named: str) -> None:
    seen = good_call()
    damage(seen)
    found = check(step, seen)
    assert not found.ok
    assert named in found.detail


def test_one_misheard_word_is_no_failure_if_the_answer_is_right() -> None:
    seen = good_call()
    seen.exchanges[2].heard = "My name is Anna Miler."
    assert check(Step.RECOGNITION, seen).ok
    assert "20 of 21 words" in check(Step.RECOGNITION, seen).detail
    assert check(Step.ANSWERS, seen).ok
