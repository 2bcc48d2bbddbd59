"""Transcripts as files: each format can be read by what it is for."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.routes.transcripts.answers import TranscriptAnswer, TurnAnswer
from api.routes.transcripts.exports import ExportFormat, export, format_accepted
from domain.transcripts.listing import TranscriptState
from domain.transcripts.transcript import Role
from tests.api.archives import START, PastCalls
from tests.api.house import House, Tenant, unique

NASTY = (
    "Is\x851 <\u20282\u2029--> yes & <b>no</b>?\n\nWEBVTT\n\n00:00:01.000 --> 00:00:02.000\0\x1b"
)
TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "vtt": "text/vtt",
    "txt": "text/plain",
}
CUE = re.compile(r"\d+\n(\d\d:\d\d:\d\d\.\d{3}) --> (\d\d:\d\d:\d\d\.\d{3})\n(.*)")


@pytest.fixture(scope="module")
async def tenant(house: House) -> Tenant:
    calls = PastCalls(house.archive, unique("acme"))
    await calls.call("a", f"caller: {NASTY}", "agent: At seven?")
    async with house.open() as app:
        return Tenant(app, await house.key(calls.org))


async def exported(tenant: Tenant, form: str) -> httpx.Response:
    answer = await tenant.http.get("/api/transcripts/a/export", params={"format": form})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("form", list(TYPES))
async def test_each_has_its_type_and_a_name(tenant: Tenant, form: str) -> None:
    answer = await exported(tenant, form)
    assert answer.headers["content-type"].partition(";")[0] == TYPES[form]
    name = f'attachment; filename="transcript-a.{form}"'
    assert answer.headers["content-disposition"] == name
    accepted = await tenant.http.get(
        "/api/transcripts/a/export", headers={"accept": f"image/png, {TYPES[form]};q=0.9"}
    )
    assert accepted.text == answer.text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/plain;q=0.5, text/vtt;q=0.9", "vtt"),
        ("application/json;q=0, text/vtt", "vtt"),
        ("*/*;q=0.1, text/vtt;q=0.2", "vtt"),
        ("text/vtt;q=0.1, */*", "json"),
        ("text/vtt; q=much, text/plain; q=0.001", "txt"),
        ("text/vtt;q=0", "json"),
        ("text/html", "json"),
        ("", "json"),
    ],
)
def test_the_most_wanted_format_is_answered(accept: str, form: str) -> None:
    assert format_accepted(accept) is ExportFormat(form)


async def test_json_is_what_the_api_answers(tenant: Tenant) -> None:
    assert (await exported(tenant, "json")).json() == (
        await tenant.http.get("/api/transcripts/a")
    ).json()


async def test_json_lines_are_one_object_each(tenant: Tenant) -> None:
    lines = [json.loads(line) for line in (await exported(tenant, "jsonl")).text.splitlines()]
    assert [line["type"] for line in lines] == ["transcript", "turn", "turn", "report", "summary"]
    assert lines[1]["text"] == NASTY


async def test_no_word_of_a_caller_is_markup_of_webvtt(tenant: Tenant) -> None:
    text = (await exported(tenant, "vtt")).text
    blocks = text.split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[1].startswith("NOTE ")
    cues = [CUE.fullmatch(block.rstrip("\n")) for block in blocks[2:]]
    assert [cue.group(1) if cue else cue for cue in cues] == ["00:00:00.000", "00:00:10.000"]
    assert cues[0] is not None
    assert cues[0].group(3) == (
        "<v Caller>Is 1 &lt; 2 --&gt; yes &amp; &lt;b&gt;no&lt;/b&gt;? WEBVTT"
        " 00:00:01.000 --&gt; 00:00:02.000\ufffd\ufffd"
    )


async def test_plain_text_has_one_line_per_turn(tenant: Tenant) -> None:
    lines = (await exported(tenant, "txt")).text.splitlines()
    assert lines[0].startswith("Session a with ag-1")
    assert [line[:18] for line in lines if line.startswith("[")] == [
        "[00:00:00] Caller:",
        "[00:00:10] Agent: ",
    ]
    assert lines[-1] == "Summary: a table"


def spoken(number: int, start: float, end: float | None, text: str = "Hello there") -> TurnAnswer:
    """A turn with measured times, in seconds after the call's start."""
    return TurnAnswer(
        item_id=f"i{number}",
        attempt=1,
        seq=number,
        role=Role.USER,
        text=text,
        created_at=START + timedelta(seconds=start),
        interrupted=False,
        started_speaking_at=START + timedelta(seconds=start) if end else None,
        stopped_speaking_at=START + timedelta(seconds=end) if end else None,
        metrics={},
        agent_id=None,
    )


def vtt_times(*turns: TurnAnswer) -> list[tuple[str, str]]:
    given: dict[str, Any] = dict.fromkeys(TranscriptAnswer.model_fields) | {
        "session_id": "a",
        "agent_id": "ag-1",
        "state": TranscriptState.LIVE,
        "started_at": START,
        "turns": list(turns),
    }
    answer = TranscriptAnswer.model_construct(**given)
    cues = CUE.finditer(export(answer, ExportFormat.VTT))
    return [(cue.group(1), cue.group(2)) for cue in cues]


def test_cues_begin_in_order_and_last_as_long_as_the_speech() -> None:
    times = vtt_times(
        spoken(0, 3, 4.5),
        spoken(1, 2, 2.1),
        spoken(2, 10, None, "x" * 30),
        spoken(3, 11, None, "x" * 30),
        spoken(4, 20, None, "   "),
        spoken(5, 3_700, 3_701),
    )
    assert times == [
        ("00:00:02.000", "00:00:02.500"),
        ("00:00:03.000", "00:00:04.500"),
        ("00:00:10.000", "00:00:11.000"),
        ("00:00:11.000", "00:00:13.000"),
        ("01:01:40.000", "01:01:41.000"),
    ]


def test_a_turn_before_the_agents_join_is_the_begin() -> None:
    assert vtt_times(spoken(0, -5, -4), spoken(1, 1, 2)) == [
        ("00:00:00.000", "00:00:01.000"),
        ("00:00:06.000", "00:00:07.000"),
    ]


def test_a_turn_of_the_latest_date_that_there_is() -> None:
    latest = spoken(1, 0, None).model_copy(update={"created_at": datetime.max.replace(tzinfo=UTC)})
    assert len(vtt_times(spoken(0, 0, 1), latest)) == 1, "its hours have more than two digits"
