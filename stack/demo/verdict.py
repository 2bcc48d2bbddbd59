"""Judges each step of the demo from the evidence alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stack.demo.evidence import Evidence, Step
from stack.demo.lines import word_count, wrong_words

MOST_WRONG_WORDS = 1 / 3
"""Share of a line's words that may be misheard, as long as the answer is right."""
LEAST_SPEECH = 0.5
"""Seconds of the agent's voice that each answer must have."""
NOT_REACHED = "was not reached"

_Observed = TypeVar("_Observed")


@dataclass(frozen=True)
class Check:
    """The verdict on one step; `detail` says what was observed, or what was missing."""

    step: Step
    ok: bool
    detail: str


class _NotProvenError(Exception):
    """A step did not succeed; the message says why."""


def judge(evidence: Evidence) -> list[Check]:
    """Judge all steps, in order."""
    return [check(step, evidence) for step in Step]


def check(step: Step, evidence: Evidence) -> Check:
    """Judge one step."""
    if step in evidence.faults:
        return Check(step, False, evidence.faults[step])
    try:
        return Check(step, True, _JUDGES[step](evidence))
    except _NotProvenError as reason:
        return Check(step, False, str(reason))


def _reached(observed: _Observed | None) -> _Observed:
    if observed is None:
        raise _NotProvenError(NOT_REACHED)
    return observed


def _require(proven: object, otherwise: str) -> None:
    if not proven:
        raise _NotProvenError(otherwise)


def _start(seen: Evidence) -> str:
    started = _reached(seen.started)
    answered = f"answered after {seen.start_seconds:.2f} s"
    _require(started.agent_joined, f"{answered} without an agent in the room")
    return (
        f"POST /v1/sessions/start?wait=joined {answered}: "
        f"session {started.session_id}, room {started.room_name}"
    )


def _join(seen: Evidence) -> str:
    status = _reached(seen.joined)
    name, seconds, attempt = status.agent_identity, status.join_seconds, status.attempt
    if status.joins < 1 or name is None or seconds is None:
        raise _NotProvenError(f"the session reports no agent after {attempt} attempts")
    active = {agent.identity: agent for agent in seen.agents if agent.active}.get(name)
    if active is None:
        listed = ", ".join(agent.identity for agent in seen.agents) or "no agent"
        raise _NotProvenError(
            f"LiveKit does not list {name} as active in the room; it lists {listed}"
        )
    other_attempt = f"{name} belongs to attempt {active.attempt}, not {attempt}"
    _require(active.attempt == str(attempt), other_attempt)
    _require(name in seen.seen_by_caller, f"the caller did not see {name} in the room")
    return (
        f"{seconds:.2f} s, {_count(attempt, 'attempt')}: {name} is ACTIVE in the room (asked"
        f" LiveKit), seen by the caller, and its job has claimed attempt {attempt}"
    )


def _recognition(seen: Evidence) -> str:
    for exchange in _reached(seen.exchanges or None):
        said, heard = exchange.line.says, exchange.heard
        _require(heard.strip(), f"nothing was recognised of “{said}”")
        misheard = wrong_words(said, heard) > MOST_WRONG_WORDS * word_count(said)
        _require(not misheard, f"“{said}” was recognised as “{heard}”")
    unsaid = len(seen.lines) - len(seen.exchanges)
    _require(not unsaid, f"{_count(unsaid, 'line')} of the caller's could not be played")
    words = sum(word_count(exchange.line.says) for exchange in seen.exchanges)
    wrong = sum(wrong_words(exchange.line.says, exchange.heard) for exchange in seen.exchanges)
    return f"{_count(len(seen.lines), 'line')}, {words - wrong} of {words} words right"


def _answers(seen: Evidence) -> str:
    for exchange in _reached(seen.exchanges or None):
        missing = " or ".join(exchange.line.missing_in(exchange.answer))
        answer = f"the answer to “{exchange.line.says}”"
        _require(not missing, f"{answer} does not name {missing}: “{exchange.answer}”")
    _require(len(seen.exchanges) == len(seen.lines), "not every line was answered")
    named = dict.fromkeys(words for line in seen.lines for words in line.answer_contains)
    return f"depend on what was heard, and name: {' · '.join(named)}"


def _audio(seen: Evidence) -> str:
    for exchange in _reached(seen.exchanges or None):
        heard = f"only {exchange.speech_seconds:.1f} s of the agent's voice were heard"
        too_short = f"{heard} in answer to “{exchange.line.says}”"
        _require(exchange.speech_seconds >= LEAST_SPEECH, too_short)
    _require(seen.recording, "what the caller heard was not saved")
    silences = [x.silence_seconds for x in seen.exchanges if x.silence_seconds is not None]
    _require(silences, "nothing was heard after the caller had spoken")
    return (
        f"{seen.speech_seconds:.1f} s of speech heard, each answer within {max(silences):.1f} s of"
        " the end of the caller's recording"
    )


def _end(seen: Evidence) -> str:
    status = _reached(seen.ended)
    waiting = f"the session is {status.state}, waiting for {status.waiting_for}"
    _require(status.state == "closed", waiting)
    how = f"outcome {status.outcome}, end reason {status.end_reason}"
    _require(status.outcome == "completed", f"{how}: {status.reason}")
    _require(status.report_received, f"{how}, but the agent's report did not arrive")
    return f"{how}; the agent's report arrived"


def _transcript(seen: Evidence) -> str:
    stored = _reached(seen.transcript)
    if stored.transcript is None or not stored.transcript.complete:
        raise _NotProvenError("it is stored, but not sealed as complete")
    kept = {(turn.attempt, turn.item_id) for turn in stored.turns}
    for turn in seen.live_turns:
        if (turn.attempt, turn.item_id) not in kept:
            raise _NotProvenError(f"“{turn.text}” was live and is not stored")
    sealed, count = stored.transcript.turn_count, len(stored.turns)
    _require(sealed == count, f"{sealed} turns sealed, {count} stored")
    callers = sum(turn.by_caller for turn in stored.turns)
    turns = f"{callers} turns of the caller and {count - callers} of the agent"
    _require(min(callers, count - callers) >= len(seen.lines), f"only {turns} are stored")
    return f"complete: {turns}, none lost"


def _summary(seen: Evidence) -> str:
    summary = _reached(seen.summary)
    why = f": {summary.error}" if summary.error else ""
    status = f"it is {summary.status} after {_count(summary.attempts, 'attempt')}{why}"
    _require(summary.status == "ready" and summary.text, status)
    header = seen.transcript.transcript if seen.transcript else None
    same = header is not None and summary.transcript_digest == header.digest
    _require(same, "it was not made from the stored transcript")
    return f"ready, by the {summary.summariser} summariser, from this transcript"


def _room(seen: Evidence) -> str:
    left = _reached(seen.rooms_left)
    _require(not left, f"LiveKit still lists {', '.join(left)}")
    gone = "LiveKit no longer lists the room"
    recorded = seen.ended is not None and seen.ended.room_deleted
    _require(recorded, f"{gone}, but the session has not recorded its deletion")
    _require(seen.disconnected, f"{gone}, but the caller is still connected")
    return f"{gone}, and the caller's connection was closed"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


_JUDGES: dict[Step, Callable[[Evidence], str]] = {
    Step.START: _start,
    Step.JOIN: _join,
    Step.RECOGNITION: _recognition,
    Step.ANSWERS: _answers,
    Step.AUDIO: _audio,
    Step.END: _end,
    Step.TRANSCRIPT: _transcript,
    Step.SUMMARY: _summary,
    Step.ROOM: _room,
}
