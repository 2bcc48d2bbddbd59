"""Starts that meet: the same one again, another one under the same name, another's room."""

import asyncio
from typing import Any

from domain.sessions.session import Outcome
from tests.harness.rig import Rig

NOBODY = {"caller_wait": 300.0}


async def test_the_same_start_again_finds_the_same_session(rig: Rig) -> None:
    starts = await asyncio.gather(
        *(
            rig.client.try_start(idempotency_key="call-1", user_identity="twice", limits=NOBODY)
            for _ in range(4)
        )
    )
    assert [start.status_code for start in starts] == [200] * 4
    [session_id] = {start.json()["session_id"] for start in starts}
    other = await rig.client.try_start(
        idempotency_key="call-1", user_identity="another", limits=NOBODY
    )
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_mismatch"
    await rig.client.end(session_id)
    closed = await rig.client.closed(session_id)
    assert closed.dispatches == 1
    late = await rig.client.try_start(
        idempotency_key="call-1", user_identity="twice", limits=NOBODY
    )
    assert late.status_code == 409, "a closed session does not run again"


async def test_a_session_id_is_used_once(rig: Rig) -> None:
    first = await rig.client.start(session_id="given-id", user_identity="a", limits=NOBODY)
    same = await rig.client.start(session_id="given-id", user_identity="a", limits=NOBODY)
    assert first.key == same.key
    assert first.room == same.room == "local.given-id"
    other = await rig.client.try_start(session_id="given-id", user_identity="b", limits=NOBODY)
    assert other.status_code == 409
    assert other.json()["errors"][0]["field"] == "session_id"
    await rig.client.end("given-id")
    await rig.client.closed("given-id")


async def test_a_room_name_belongs_to_one_session(rig: Rig) -> None:
    owner = await rig.client.start(wait="joined", room_name="lobby", limits=NOBODY)
    rig.know(owner.key)
    [before] = await rig.rooms.livekit.list_rooms([owner.room])
    intruder = await rig.client.try_start(session_id="intruder", room_name="lobby")
    assert intruder.status_code == 409
    assert intruder.json()["code"] == "room_name_taken"
    [after] = await rig.rooms.livekit.list_rooms([owner.room])
    assert (after.sid, after.metadata) == (before.sid, before.metadata)
    assert (await rig.client.http.get("/v1/sessions/intruder")).status_code == 404
    assert len(await rig.rooms.agents(owner.room)) == 1, "the owner's agent is still there"
    await rig.client.end(owner.key.session_id)
    closed = await rig.client.closed(owner.key.session_id)
    assert closed.outcome is Outcome.CALLER_NEVER_JOINED


async def test_bad_starts_name_the_field_and_start_nothing(rig: Rig) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"session_id": "a/b"}, "session_id"),
        ({"room_name": "with space"}, "room_name"),
        ({"limits": {"max_duration": -1}}, "limits.max_duration"),
        ({"agent_config": {"promt": "typo"}}, "agent_config.promt"),
    ]
    for body, field in wrong:
        refused = await rig.client.try_start(**body)
        assert refused.status_code == 422, body
        assert field in str(refused.json()["errors"]), body
    keyless = await rig.client.http.post(
        "/v1/sessions/start", json={}, headers={"x-api-key": "evl_wrong"}
    )
    assert keyless.status_code == 401
