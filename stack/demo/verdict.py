"""Judges each step of the demo from the evidence alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stack.demo.evidence import Evidence, Exchange, Step
from stack.demo.lines import word_count, wrong_words

MOST_WRONG_WORDS = 1 / 3
"""Share of a line's words that may be misheard, as long as the answer is right."""
LEAST_SPEECH = 0.5
"""Seconds of the agent's voice that each answer must have."""
NOT_REACHED = "was not reached"


@dataclass(frozen=True)
class Check:
    """The verdict on one step; `detail` says what was observed, or what was missing."""

    step: Step
    ok: bool
    detail: str


def judge(evidence: Evidence) -> list[Check]:
    """Judge all steps, in order."""
    return [check(step, evidence) for step in Step]


def check(step: Step, evidence: Evidence) -> Check:
    """Judge one step."""
    fault = evidence.fault(step)
    if fault:
        return Check(step, False, fault)
    ok, detail = _JUDGES[step](evidence)
    return Check(step, ok, detail)


_Verdict = tuple[bool, str]


def _start(seen: Evidence) -> _Verdict:
    if seen.started is None:
        return False, NOT_REACHED
    if not seen.started.agent_joined:
        return False, f"answered after {seen.start_seconds:.1f} s without an agent in the room"
    return True, (
        f"POST /v1/sessions/start?wait=joined answered in {seen.start_seconds:.2f} s: "
        f"session {seen.started.session_id}, room {seen.started.room_name}"
    )


def _join(seen: Evidence) -> _Verdict:
    status = seen.joined
    if status is None:
        return False, NOT_REACHED
    if status.joins < 1 or status.agent_identity is None or status.join_seconds is None:
        return False, f"the session does not call its agent joined after {status.attempt} attempts"
    name = status.agent_identity
    listed = next((agent for agent in seen.agents if agent.identity == name), None)
    if listed is None or not listed.active:
        others = ", ".join(agent.identity for agent in seen.agents) or "no agent"
        return False, f"LiveKit does not list {name} as active in the room; it lists {others}"
    if listed.attempt != str(status.attempt):
        return False, f"{name} says that it is of attempt {listed.attempt}, not {status.attempt}"
    if name not in seen.seen_by_caller:
        return False, f"the caller did not meet {name} in the room"
    return True, (
        f"{status.join_seconds:.2f} s, {_count(status.attempt, 'attempt')}: {name} is ACTIVE in the"
        f" room (asked LiveKit), met by the caller, and its job has claimed attempt"
        f" {status.attempt}"
    )


def _recognition(seen: Evidence) -> _Verdict:
    if not seen.exchanges:
        return False, NOT_REACHED
    for exchange in seen.exchanges:
        if not exchange.heard.strip():
            return False, f"nothing was recognised of “{exchange.line.says}”"
        if _wrong_share(exchange) > MOST_WRONG_WORDS:
            return False, f"“{exchange.line.says}” was recognised as “{exchange.heard}”"
    unsaid = len(seen.lines) - len(seen.exchanges)
    if unsaid:
        return False, f"{_count(unsaid, 'line')} of the caller's could not be said any more"
    words = sum(word_count(exchange.line.says) for exchange in seen.exchanges)
    wrong = sum(wrong_words(exchange.line.says, exchange.heard) for exchange in seen.exchanges)
    return True, f"{_count(len(seen.lines), 'line')}, {words - wrong} of {words} words right"


def _wrong_share(exchange: Exchange) -> float:
    said = exchange.line.says
    return wrong_words(said, exchange.heard) / word_count(said)


def _answers(seen: Evidence) -> _Verdict:
    if not seen.exchanges:
        return False, NOT_REACHED
    for exchange in seen.exchanges:
        missing = exchange.line.missing_in(exchange.answer)
        if missing:
            return False, (
                f"the answer to “{exchange.line.says}” does not name {' or '.join(missing)}: "
                f"“{exchange.answer}”"
            )
    if len(seen.exchanges) < len(seen.lines):
        return False, "not every line was answered"
    named = dict.fromkeys(words for line in seen.lines for words in line.answer_contains)
    return True, f"depend on what was heard, they name: {' · '.join(named)}"


def _audio(seen: Evidence) -> _Verdict:
    if not seen.exchanges:
        return False, NOT_REACHED
    for exchange in seen.exchanges:
        if exchange.speech_seconds < LEAST_SPEECH:
            return False, (
                f"only {exchange.speech_seconds:.1f} s of the agent's voice were heard in answer"
                f" to “{exchange.line.says}”"
            )
    if seen.recording is None:
        return False, "what the caller heard was not kept"
    silences = [x.silence_seconds for x in seen.exchanges if x.silence_seconds is not None]
    if not silences:
        return False, "nothing was heard after the caller had spoken"
    return True, (
        f"{seen.speech_seconds:.1f} s of speech heard, each answer within {max(silences):.1f} s of"
        " the end of the caller's recording"
    )


def _end(seen: Evidence) -> _Verdict:
    status = seen.ended
    if status is None:
        return False, NOT_REACHED
    if status.state != "closed":
        return False, f"the session is {status.state}, waiting for {status.waiting_for}"
    how = f"outcome {status.outcome}, end reason {status.end_reason}"
    if status.outcome != "completed":
        return False, f"{how}: {status.reason}"
    if not status.report_received:
        return False, f"{how}, but the agent's report did not come"
    return True, f"{how}; the agent's report came"


def _transcript(seen: Evidence) -> _Verdict:
    stored = seen.transcript
    if stored is None:
        return False, NOT_REACHED
    if stored.transcript is None or not stored.transcript.complete:
        return False, "it is stored, but not sealed as complete"
    kept = {(turn.attempt, turn.item_id): turn.text for turn in stored.turns}
    lost = [turn.text for turn in seen.live_turns if kept.get((turn.attempt, turn.item_id)) is None]
    if lost:
        return False, f"“{lost[0]}” was live and is not stored"
    if stored.transcript.turn_count != len(stored.turns):
        return False, f"{stored.transcript.turn_count} turns sealed, {len(stored.turns)} stored"
    callers = sum(turn.by_caller for turn in stored.turns)
    agents = len(stored.turns) - callers
    if min(callers, agents) < len(seen.lines):
        return False, f"only {callers} turns of the caller and {agents} of the agent are stored"
    return True, f"complete: {callers} turns of the caller, {agents} of the agent, none lost"


def _summary(seen: Evidence) -> _Verdict:
    summary = seen.summary
    if summary is None:
        return False, NOT_REACHED
    if summary.status != "ready" or not summary.text:
        why = f": {summary.error}" if summary.error else ""
        return False, f"it is {summary.status} after {_count(summary.attempts, 'attempt')}{why}"
    header = seen.transcript.transcript if seen.transcript else None
    if header is None or summary.transcript_digest != header.digest:
        return False, "it was not made of the stored transcript"
    return True, f"ready, by the {summary.summariser} summariser, of this very transcript"


def _room(seen: Evidence) -> _Verdict:
    if seen.rooms_left is None:
        return False, NOT_REACHED
    if seen.rooms_left:
        return False, f"LiveKit still lists {', '.join(seen.rooms_left)}"
    if seen.ended is None or not seen.ended.room_deleted:
        return False, "LiveKit lists no such room, but the session has not noted its deletion"
    if not seen.put_out:
        return False, "LiveKit lists no such room, but the caller is still connected"
    return True, "LiveKit lists it no more, and the caller's connection was closed"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


_JUDGES: Mapping[Step, Callable[[Evidence], _Verdict]] = {
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
