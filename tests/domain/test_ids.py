"""Ids: what is allowed in them, and that their compositions cannot be confused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain import ids
from domain.errors import InvalidInput
from domain.ids import Id, SessionKey
from domain.transcripts.listening import listener_identity

valid = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)


@given(valid)
def test_a_well_formed_id_is_returned_as_it_is(text: str) -> None:
    assert ids.check_id(text, "sessionId") == text


@pytest.mark.parametrize(
    "text", ["", "a b", "a/b", "a.b", "ä", "a\n", "\na", "a" * 129, "a\x00", "٣", "../x", "a%2Fb"]
)
def test_a_malformed_id_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ids.check_id(text, "roomName")
    assert refusal.value.field == "roomName"
    assert refusal.value.cure
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(text)


@pytest.mark.parametrize("identity", ["caller", "Ann Everline", "agent-smith", "everline"])
def test_a_caller_chooses_its_identity(identity: str) -> None:
    assert ids.check_caller_identity(identity, "userIdentity") == identity


@pytest.mark.parametrize("identity", [listener_identity(1), listener_identity(12), "agent-AJ_x7"])
def test_no_caller_gets_an_identity_of_agents_or_of_everline(identity: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ids.check_caller_identity(identity, "userIdentity")
    assert refusal.value.field == "userIdentity"
    assert "everline-" in (refusal.value.cure or "")


@given(valid, valid)
def test_a_workflow_id_names_its_session(org: str, session_id: str) -> None:
    key = SessionKey(org, session_id)

    assert ids.key_of_workflow_id(ids.session_workflow_id(key)) == key
    for other in (ids.archive_workflow_id(key), ids.summary_workflow_id(key)):
        assert ids.key_of_workflow_id(other) is None


@pytest.mark.parametrize(
    "workflow_id",
    ["", "session", "session/", "session/a", "session/a/b/c", "session/a b/c", "x/a/b"],
)
def test_other_workflow_ids_name_no_session(workflow_id: str) -> None:
    assert ids.key_of_workflow_id(workflow_id) is None


@given(valid, valid, valid, valid)
def test_two_sessions_never_share_a_workflow_or_a_room(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        first, second = SessionKey(a, b), SessionKey(c, d)
        assert ids.session_workflow_id(first) != ids.session_workflow_id(second)
        assert ids.livekit_room_name(a, b) != ids.livekit_room_name(c, d)


@given(valid, valid)
def test_both_names_of_a_room_mean_the_same(org: str, room: str) -> None:
    full = ids.livekit_room_name(org, room)

    assert ids.local_room_name(org, full) == room
    assert ids.local_room_name(org, room) == room


@given(valid, st.text(min_size=1, max_size=255))
def test_an_idempotency_key_makes_a_session_id(org: str, key: str) -> None:
    made = ids.session_id_of_idempotency_key(org, key)

    assert ids.check_id(made, "sessionId") == made
    assert made == ids.session_id_of_idempotency_key(org, key)
    assert made != ids.session_id_of_idempotency_key(f"{org}x", key)
    assert made != ids.session_id_of_idempotency_key(org, f"{key}x")
