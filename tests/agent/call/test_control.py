"""Requests to finish: only those of the server count."""

from typing import cast

import pytest
from livekit import rtc

from agent.call.end_cause import finish_request
from domain.sessions.control import CONTROL_TOPIC, FinishCall


def packet(
    data: bytes, topic: str = CONTROL_TOPIC, sender: rtc.RemoteParticipant | None = None
) -> rtc.DataPacket:
    return rtc.DataPacket(
        data=data,
        kind=rtc.DataPacketKind.KIND_RELIABLE,
        participant=cast(rtc.RemoteParticipant, sender),
        topic=topic,
    )


FINISH = FinishCall(reason="max_duration").model_dump_json().encode()


def test_the_server_asks_to_finish() -> None:
    assert finish_request(packet(FINISH)) == FinishCall(reason="max_duration")


def test_a_participant_cannot_ask() -> None:
    class Sender:
        identity = "caller"

    sender = cast(rtc.RemoteParticipant, Sender())
    assert finish_request(packet(FINISH, sender=sender)) is None


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type": "dance", "reason": "x"}', b"\xff"])
def test_other_messages_are_ignored(data: bytes) -> None:
    assert finish_request(packet(data)) is None


def test_other_topics_are_not_ours() -> None:
    assert finish_request(packet(FINISH, topic="lk.chat")) is None
