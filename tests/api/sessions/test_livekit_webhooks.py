"""LiveKit's webhooks: verified, filtered, and told to the session whose room it is."""

import json
import time
from typing import Any

import pytest

from adapters.livekit.signatures import WEBHOOK, sign_body
from adapters.livekit.webhooks import LiveKitEvent
from api.routes.livekit import change_of
from domain.sessions.messages import ParticipantChanged
from domain.sessions.rooms import room_metadata
from tests.api.door import JSON, LIVEKIT_KEY, LIVEKIT_SECRET, Door, is_problem
from tests.fakes.agents import Plays
from tests.fakes.installation import INSTALLATION
from tests.workflows.calls import Call

MUTE = Plays(report_when_told=False, report_when_removed=False)


def _event(call: Call, name: str, event_id: str, **participant: Any) -> JSON:
    # As releases wrote it that knew of no installations: their calls outlive an upgrade.
    owner = json.dumps({"org": call.key.org, "session": call.key.session_id})
    event: JSON = {
        "event": name,
        "id": event_id,
        "room": {"name": call.room, "sid": "RM_1", "metadata": owner},
    }
    return event | ({"participant": participant} if participant else {})


def _caller(sid: str = "PA_1") -> JSON:
    return {"identity": "caller", "sid": sid, "kind": "STANDARD"}


async def test_a_caller_comes_and_goes(keyless: Door, door: Door) -> None:
    call = await door.live(caller_return=1)

    came = await keyless.webhook(_event(call, "participant_joined", "e1", **_caller()))
    await call.until("here", lambda status: status.caller_present)
    again = await keyless.webhook(_event(call, "participant_joined", "e1", **_caller()))
    await keyless.webhook(_event(call, "participant_left", "e2", **_caller()))

    assert came == {"status": 200, "forwarded": True}
    assert again == {"status": 200, "forwarded": True}
    assert (await call.closed()).ended == ("completed", "caller_left")


async def test_the_room_is_finished(keyless: Door, door: Door) -> None:
    call = await door.live(MUTE, report_grace=1)

    await keyless.webhook(_event(call, "room_finished", "e1"))

    assert (await call.closed()).ended == ("room_lost", "room_deleted")
    late = await keyless.webhook(_event(call, "room_finished", "e2"))
    assert late == {"status": 200, "forwarded": False}, "LiveKit need not send it again"


async def test_a_room_of_another_installation_is_none_of_ours(keyless: Door, door: Door) -> None:
    call = await door.live(MUTE, report_grace=1)
    theirs, ours = _event(call, "room_finished", "e1"), _event(call, "room_finished", "e2")
    theirs["room"]["metadata"] = room_metadata(call.key, "another")
    ours["room"]["metadata"] = room_metadata(call.key, INSTALLATION)

    ignored = await keyless.webhook(theirs)
    assert (await call.status()).state == "live"
    taken = await keyless.webhook(ours)

    assert ignored == {"status": 200, "forwarded": False}
    assert taken == {"status": 200, "forwarded": True}
    assert (await call.closed()).ended == ("room_lost", "room_deleted")


async def test_forged_altered_and_old_events_change_nothing(keyless: Door, door: Door) -> None:
    call = await door.live(MUTE, report_grace=1)
    event = _event(call, "room_finished", "e1")

    forged = await keyless.webhook(event, secret="another-secret-of-at-least-32-characters")
    old = await keyless.webhook(event | {"createdAt": str(int(time.time()) - 3600)})
    future = await keyless.webhook(event | {"createdAt": str(int(time.time()) + 3600)})
    body = json.dumps(event | {"createdAt": str(int(time.time()))}).encode()
    altered = await keyless.http.post(
        "/v1/livekit/webhook",
        content=body.replace(b"e1", b"e2"),
        headers={"Authorization": sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, WEBHOOK)},
    )

    assert [forged["status"], old["status"], future["status"]] == [401, 401, 401]
    assert is_problem(altered, 401, "unauthenticated")
    assert (await call.status()).state == "live"
    await call.end()
    await call.closed()


async def test_a_room_that_names_another_org_is_not_believed(keyless: Door, door: Door) -> None:
    call = await door.live(MUTE, report_grace=1)
    event = _event(call, "room_finished", "e1")
    event["room"]["name"] = "globex.their-room"

    answer = await keyless.webhook(event)

    assert answer == {"status": 200, "forwarded": False}
    assert (await call.status()).state == "live"
    await call.end()
    await call.closed()


async def test_rooms_of_somebody_else_are_ignored(keyless: Door) -> None:
    for metadata in ("", "not json", "[]", '{"org": "acme"}', '{"org": 1, "session": null}'):
        answer = await keyless.webhook(
            {"event": "room_finished", "id": "e", "room": {"name": "x", "metadata": metadata}}
        )
        assert answer == {"status": 200, "forwarded": False}, metadata


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        ("participant_joined", "standard", "joined"),
        ("participant_joined", "sip", "joined"),
        ("participant_left", "sip", "left"),
        ("participant_left", "agent", "left"),
        ("room_finished", None, "room_finished"),
        ("participant_joined", "connector", "joined"),
        ("participant_left", "unknown-42", "left"),
        ("participant_connection_aborted", "standard", "not_connected"),
        ("participant_connection_aborted", "agent", None),
        ("participant_joined", "agent", "joined"),
        ("participant_joined", "egress", None),
        ("participant_left", "egress", None),
        ("participant_left", "ingress", None),
        ("room_started", None, None),
        ("track_published", "standard", None),
        ("egress_started", None, None),
    ],
)
def test_only_what_a_session_waits_for_becomes_a_signal(
    name: str, kind: str | None, change: str | None
) -> None:
    event = LiveKitEvent.model_validate(
        {
            "id": "e1",
            "event": name,
            "created_at": 0,
            "identity": "somebody",
            "participant_sid": "PA_1",
            "participant_kind": kind,
        }
    )

    signal = change_of(event)

    assert (signal.change if signal else None) == change
    assert signal is None or signal.event_id == "livekit:e1"


def _told(name: str, kind: str, **more: object) -> ParticipantChanged | None:
    event = {
        "id": "e1",
        "event": name,
        "created_at": 0,
        "identity": "somebody",
        "participant_sid": "PA_1",
        "participant_kind": kind,
    }
    return change_of(LiveKitEvent.model_validate(event | more))


def test_a_leave_without_a_join_is_a_connection_that_failed() -> None:
    told = _told("participant_left", "standard", disconnect_reason="join_failure")

    assert told
    assert (told.change, told.detail) == ("not_connected", "join_failure")


def test_the_coming_of_our_own_agent_is_told_by_its_claim() -> None:
    ours = {"everline.attempt": "1"}

    assert _told("participant_joined", "agent", participant_attributes=ours) is None
    assert _told("participant_left", "agent", participant_attributes=ours) is not None
