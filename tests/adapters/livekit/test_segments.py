"""Streams become segments: each once, as the words of whoever spoke them."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.livekit.segments import FINAL, MAX_KEPT, SEGMENT, TRACK, Segments, Speakers
from domain.transcripts.listening import Heard
from domain.transcripts.transcript import Role

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
AGENT, CALLER = "agent-AJ_1", "caller"
AGENTS_TRACK, CALLERS_TRACK = "TR_agent", "TR_caller"
INTERIM, DONE = {FINAL: "false"}, {FINAL: "true"}


class Room:
    """The segments of a room with an agent and a caller, who publish a track each."""

    def __init__(self) -> None:
        self.speakers = Speakers(AGENT)
        self.speakers.joined(AGENT, is_agent=True)
        self.speakers.joined(CALLER, is_agent=False)
        self.speakers.published(AGENTS_TRACK, AGENT)
        self.speakers.published(CALLERS_TRACK, CALLER)
        self.segments = Segments(self.speakers)
        self._now = NOON

    def send(
        self,
        sender: str,
        text: str,
        attributes: dict[str, str],
        *,
        closing: dict[str, str] | None = None,
        cut: bool = False,
    ) -> Heard | None:
        """Send one whole stream, a second later than the one before."""
        self._now += timedelta(seconds=1)
        stream = self.segments.begin("stream", sender, attributes, self._now)
        stream.add(text)
        return self.segments.end(stream, closing or {}, self._now, cut=cut)


@pytest.mark.parametrize(
    ("sender", "track", "role"),
    [
        (AGENT, None, Role.ASSISTANT),
        (AGENT, AGENTS_TRACK, Role.ASSISTANT),
        (AGENT, CALLERS_TRACK, Role.USER),
        (AGENT, "TR_never_seen", Role.ASSISTANT),
        (CALLER, None, Role.USER),
        (CALLER, CALLERS_TRACK, Role.USER),
        (CALLER, AGENTS_TRACK, Role.USER),
        ("somebody", None, Role.USER),
    ],
)
def test_the_track_decides_for_an_agents_stream_and_the_identity_for_any_other(
    sender: str, track: str | None, role: Role
) -> None:
    attributes = {SEGMENT: "SG_1"} | ({TRACK: track} if track else {})

    heard = Room().send(sender, "Hello.", attributes)

    assert heard
    assert heard.role is role


def test_a_track_that_only_the_end_of_a_stream_names_decides_as_well() -> None:
    heard = Room().send(AGENT, "Hello?", {SEGMENT: "SG_1"}, closing={TRACK: CALLERS_TRACK})

    assert heard
    assert heard.role is Role.USER


def test_a_caller_with_the_identity_of_an_agent_that_left_is_a_caller() -> None:
    room = Room()
    room.speakers.joined("agent-other", is_agent=True)
    room.speakers.joined("agent-other", is_agent=False)

    heard = room.send("agent-other", "Hello.", {})

    assert heard
    assert heard.role is Role.USER


def test_a_caller_adds_nothing_to_a_segment_or_a_stream_of_the_agent() -> None:
    room = Room()
    spoken = room.segments.begin("stream", AGENT, {SEGMENT: "SG_1"}, NOON)
    spoken.add("For which ")
    forged = room.send(CALLER, "It is free.", {SEGMENT: "SG_1", TRACK: AGENTS_TRACK})
    spoken.add("day?")
    heard = room.segments.end(spoken, DONE, NOON, cut=False)

    assert forged
    assert heard
    assert (heard.role, heard.text) == (Role.ASSISTANT, "For which day?")
    assert (forged.role, forged.text) == (Role.USER, "It is free.")
    assert heard.turn(1).item_id != forged.turn(1).item_id


def test_one_agents_segment_id_for_both_speakers_makes_two_turns() -> None:
    room = Room()
    asked = room.send(AGENT, "Which day?", {SEGMENT: "SG_1", TRACK: AGENTS_TRACK})
    answered = room.send(AGENT, "Today.", {SEGMENT: "SG_1", TRACK: CALLERS_TRACK} | DONE)

    assert asked
    assert answered
    assert asked.turn(1).item_id != answered.turn(1).item_id


def test_a_closed_stream_of_the_agent_ends_its_segment_without_a_mark() -> None:
    heard = Room().send(AGENT, "Hello.", {SEGMENT: "SG_1"} | INTERIM)

    assert heard
    assert (heard.text, heard.interrupted) == ("Hello.", False)


def test_a_callers_interim_results_are_no_turns_and_say_when_it_began() -> None:
    room = Room()
    for sender, segment, track in ((CALLER, "SG_1", {}), (AGENT, "SG_2", {TRACK: CALLERS_TRACK})):
        attributes = {SEGMENT: segment, **track}
        assert room.send(sender, "A table", attributes | INTERIM) is None
        assert room.send(sender, "A table for", attributes | INTERIM) is None
        heard = room.send(sender, "A table for two.", attributes | DONE)
        assert heard
        assert (heard.role, heard.text) == (Role.USER, "A table for two.")
        assert heard.ended_at - heard.began_at == timedelta(seconds=2)


def test_a_callers_stream_without_a_mark_is_a_final_one() -> None:
    heard = Room().send(CALLER, "Hello?", {SEGMENT: "SG_1"})

    assert heard
    assert heard.text == "Hello?"


def test_a_segment_is_told_once_and_again_when_its_text_changes() -> None:
    room = Room()
    for sender in (AGENT, CALLER):
        first, same, more = (
            room.send(sender, text, {SEGMENT: "SG_1"} | DONE) for text in ("I", "I", "I see.")
        )
        assert first
        assert same is None
        assert more
        assert (more.text, more.began_at) == ("I see.", first.began_at)
        assert more.turn(1).item_id == first.turn(1).item_id


def test_a_stream_that_breaks_is_an_interrupted_turn_of_the_agent_alone() -> None:
    room = Room()
    heard = room.send(AGENT, "For which", {SEGMENT: "SG_1"} | INTERIM, cut=True)
    guess = room.send(CALLER, "For to", {SEGMENT: "SG_2"} | DONE, cut=True)

    assert heard
    assert (heard.text, heard.interrupted) == ("For which", True)
    assert guess is None


def test_what_the_agent_says_as_it_leaves_is_an_interrupted_turn() -> None:
    room = Room()
    room.segments.begin("one", AGENT, {SEGMENT: "SG_1"}, NOON).add("Good")
    room.segments.begin("two", AGENT, {SEGMENT: "SG_2"}, NOON)
    room.segments.begin("three", CALLER, {SEGMENT: "SG_3"}, NOON).add("Wait")
    room.segments.begin("four", AGENT, {TRACK: CALLERS_TRACK}, NOON).add("Wait")

    unfinished = room.segments.unfinished(NOON)

    assert [(heard.text, heard.interrupted) for heard in unfinished] == [("Good", True)]


def test_a_flood_of_tracks_and_segments_is_forgotten() -> None:
    room = Room()
    for number in range(2 * MAX_KEPT):
        room.speakers.published(f"TR_{number}", CALLER)
        assert room.send(CALLER, "Hello.", {SEGMENT: f"SG_{number}"})
    heard = room.send(AGENT, "Hello.", {SEGMENT: "SG_1", TRACK: AGENTS_TRACK})

    assert heard
    assert heard.role is Role.ASSISTANT
    remembered = (room.speakers.__dict__["_owners"], room.segments.__dict__["_finished"])
    assert [len(one) for one in remembered] == [MAX_KEPT, MAX_KEPT]
