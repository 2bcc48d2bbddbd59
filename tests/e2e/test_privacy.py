"""What one org's data is to others: nothing, neither over the API nor in what Temporal stores."""

import json

import httpx
from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

from domain.ids import session_workflow_id
from domain.sessions.session import Outcome
from tests.harness.agent_callbacks import turn
from tests.harness.histories import payloads, stored_bytes
from tests.harness.rig import Rig


async def test_two_orgs_never_meet(rig: Rig) -> None:
    other = await rig.other_org("acme")
    mine = await rig.client.start(session_id="shared-id", limits={"caller_wait": 4})
    theirs = await other.start(session_id="shared-id", limits={"caller_wait": 1})
    for key in (mine.key, theirs.key):
        rig.know(key)
    assert (mine.room, theirs.room) == ("local.shared-id", "acme.shared-id")
    await other.closed("shared-id")
    await rig.client.closed("shared-id")
    own = await rig.client.start(limits={"caller_wait": 1})
    rig.know(own.key)
    session_id = own.key.session_id
    for method, path in (
        *(
            ("GET", f"/v1/sessions/{session_id}{part}")
            for part in ("", "/turns", "/summary", "/events")
        ),
        ("POST", f"/v1/sessions/{session_id}/end"),
    ):
        answer = await other.http.request(method, path)
        unknown = await other.http.request(method, path.replace(session_id, "never-there"))
        assert answer.status_code == unknown.status_code == httpx.codes.NOT_FOUND
        told = [
            json.dumps(one.json() | {"request_id": ""}).replace(name, "…")
            for one, name in ((answer, session_id), (unknown, "never-there"))
        ]
        assert told[0] == told[1], "a foreign session looks like one that never was"
    by_room = await other.http.post("/session/end", json={"roomName": own.room})
    assert by_room.status_code in (404, 422)
    stolen = await other.http.post(
        f"/v1/sessions/{session_id}/turns", json={"turns": [turn("stolen", "Not theirs.")]}
    )
    assert stolen.status_code == 404
    closed = await rig.client.closed(session_id)
    assert closed.outcome is Outcome.CALLER_NEVER_JOINED
    assert (await rig.client.transcript(session_id)).turns == []


async def test_temporal_stores_nothing_readable_and_the_codec_endpoint_reads_it(rig: Rig) -> None:
    prompt, said = rig.ledger.canary("prompt"), rig.ledger.canary("transcript")
    config = {"prompt": prompt, "api_key": rig.ledger.canary("key")}
    async with rig.call(agent_config=config) as call:
        assert call.started.answer["agent_config"]["api_key"] != config["api_key"]
        assert (await rig.agent(call.key).turns(call.session_id, [turn("c", said)])).is_success
        assert (await rig.agent(call.key).failed(1, "nothing")).is_success
        await rig.client.end(call.session_id)
        await rig.client.closed(call.session_id)
    history = await rig.histories.fetch(session_workflow_id(call.key))
    assert history is not None
    assert prompt.encode() not in stored_bytes(history)
    assert said.encode() not in stored_bytes(history)
    found = Payloads(payloads=[one for event in history.events for one in payloads(event)])
    encodings = {bytes(one.metadata["encoding"]) for one in found.payloads}
    assert b"binary/encrypted" in encodings
    decoded = await _decode(rig, found, rig.stack.credentials.codec_secret)
    assert prompt in decoded.text.encode().decode("unicode_escape") or prompt in _texts(decoded)
    assert said not in _texts(decoded), "the transcript is not even there in encrypted form"
    assert (await _decode(rig, found, "a-guess-at-the-secret")).status_code == 404
    assert (await rig.client.transcript(call.session_id)).turns[-1].text == said


async def _decode(rig: Rig, found: Payloads, secret: str) -> httpx.Response:
    body = json_format.MessageToJson(found)
    return await rig.client.http.post(f"/codec/{secret}/decode", content=body)


def _texts(decoded: httpx.Response) -> str:
    clear = json_format.Parse(decoded.content, Payloads())
    return "\n".join(one.data.decode(errors="replace") for one in clear.payloads)
