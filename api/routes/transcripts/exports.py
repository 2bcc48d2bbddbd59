"""Transcripts as files: JSON, JSON Lines, WebVTT and plain text."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest

from api.routes.transcripts.answers import TranscriptAnswer, TurnAnswer
from domain.json_lines import on_one_line
from domain.transcripts.transcript import Role

LETTERS_PER_SECOND = 15
"""Assumed speaking rate, for turns without a measured end."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
"""Control characters except white space."""
_SHORTEST = timedelta(milliseconds=500)
_SPEAKERS = {Role.USER: "Caller", Role.ASSISTANT: "Agent"}


class ExportFormat(StrEnum):
    """What a transcript can be exported as."""

    JSON = "json"
    JSONL = "jsonl"
    VTT = "vtt"
    TXT = "txt"


MEDIA_TYPES = {
    ExportFormat.JSON: "application/json",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.VTT: "text/vtt",
    ExportFormat.TXT: "text/plain",
}


@dataclass(frozen=True)
class Cue:
    """When a turn was spoken, from the beginning of the call."""

    start: timedelta
    end: timedelta
    turn: TurnAnswer


def export(transcript: TranscriptAnswer, form: ExportFormat) -> str:
    """The text of the file."""
    if form is ExportFormat.JSON:
        return json.dumps(transcript.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    if form is ExportFormat.JSONL:
        return "".join(_json_lines(transcript))
    if form is ExportFormat.VTT:
        return "\n".join(_web_vtt(transcript))
    return "\n".join(_plain_text(transcript))


def format_accepted(accept: str) -> ExportFormat:
    """The preferred format of an `Accept` header; JSON if none matches."""
    wanted = {media_type: form for form, media_type in MEDIA_TYPES.items()}
    wanted["*/*"] = ExportFormat.JSON
    best, most = ExportFormat.JSON, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        form, weight = wanted.get(name), _weight(parameters)
        if form and weight > most:
            best, most = form, weight
    return best


def _weight(parameters: list[str]) -> float:
    """The quality value of a part, 0 to 1; 0 if it is malformed."""
    given = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    return float(given) if re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", given) else 0.0


def cues(transcript: TranscriptAnswer) -> list[Cue]:
    """The turns with the times of their speech, by start time."""
    spoken = sorted((turn for turn in transcript.turns if turn.text.strip()), key=_beginning)
    if not spoken:
        return []
    began = min(transcript.joined_at or transcript.started_at, _beginning(spoken[0]))
    # Use durations from here on: dates near the maximum would overflow.
    starts = [_beginning(turn) - began for turn in spoken]
    found: list[Cue] = []
    for turn, start, following in zip_longest(spoken, starts, starts[1:]):
        stopped = turn.stopped_speaking_at
        end = stopped - began if stopped else _guessed_end(turn, start, following)
        found.append(Cue(start, max(end, start + _SHORTEST), turn))
    return found


def _beginning(turn: TurnAnswer) -> datetime:
    return turn.started_speaking_at or turn.created_at


def _guessed_end(turn: TurnAnswer, start: timedelta, following: timedelta | None) -> timedelta:
    guess = start + timedelta(seconds=len(turn.text) / LETTERS_PER_SECOND)
    return guess if following is None else min(guess, following)


def _json_lines(transcript: TranscriptAnswer) -> Iterator[str]:
    whole = transcript.model_dump(mode="json")
    turns, reports, summary = whole.pop("turns"), whole.pop("reports"), whole.pop("summary")
    lines = [("transcript", whole), *(("turn", turn) for turn in turns)]
    lines += [("report", report) for report in reports]
    if summary:
        lines.append(("summary", summary))
    for kind, fields in lines:
        yield on_one_line(json.dumps({"type": kind, **fields}, ensure_ascii=False)) + "\n"


def _web_vtt(transcript: TranscriptAnswer) -> Iterator[str]:
    yield "WEBVTT"
    yield ""
    yield f"NOTE session {transcript.session_id}, {transcript.state.value}"
    yield ""
    for number, cue in enumerate(cues(transcript), start=1):
        yield str(number)
        yield f"{_vtt_time(cue.start)} --> {_vtt_time(cue.end)}"
        yield f"<v {_SPEAKERS[cue.turn.role]}>{_vtt_text(cue.turn.text)}"
        yield ""


def _vtt_time(at: timedelta) -> str:
    milliseconds = round(at / timedelta(milliseconds=1))
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def _vtt_text(text: str) -> str:
    """One line without markup: a blank line or `-->` in the text would break the cue."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _one_line(escaped)


def _one_line(text: str) -> str:
    """Without control characters, which a terminal would interpret."""
    return " ".join(_CONTROLS.sub("\ufffd", text).split())


def _plain_text(transcript: TranscriptAnswer) -> Iterator[str]:
    yield f"Session {transcript.session_id} with {transcript.agent_id} ({transcript.state.value})"
    yield f"Started {transcript.started_at.isoformat()}"
    if transcript.ended_at:
        yield f"Ended   {transcript.ended_at.isoformat()}"
    yield ""
    for cue in cues(transcript):
        cut = " (interrupted)" if cue.turn.interrupted else ""
        time = _vtt_time(cue.start).partition(".")[0]
        yield f"[{time}] {_SPEAKERS[cue.turn.role]}: {_one_line(cue.turn.text)}{cut}"
    if transcript.summary and transcript.summary.text:
        yield ""
        yield f"Summary: {_one_line(transcript.summary.text)}"
    yield ""
