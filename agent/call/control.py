"""Messages that Everline sends into the room."""

import structlog
from livekit import rtc
from pydantic import ValidationError

from domain.json_model import FROM_ANOTHER_VERSION
from domain.sessions.control import CONTROL_TOPIC, FinishCall

log = structlog.stdlib.get_logger(__name__)


def finish_request(packet: rtc.DataPacket) -> FinishCall | None:
    """The server's request to finish, if the packet is one.

    A participant's packet has a sender; only LiveKit's server API sends without one.
    """
    if packet.topic != CONTROL_TOPIC:
        return None
    # The SDK declares the sender as never None.
    sender: rtc.RemoteParticipant | None = packet.participant
    if sender is not None:
        log.warning("control_message_of_a_participant_ignored", identity=sender.identity)
        return None
    try:
        return FinishCall.model_validate_json(packet.data, context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        log.error("control_message_unreadable", faults=error.error_count())
        return None
