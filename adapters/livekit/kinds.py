"""LiveKit's enumerations as lower-case words."""

from livekit.protocol.models import DisconnectReason, ParticipantInfo


def participant_kind(kind: ParticipantInfo.Kind) -> str:
    """`standard`, `agent`, `sip`, `egress` …, or `unknown-<number>` of a newer LiveKit."""
    try:
        return ParticipantInfo.Kind.Name(kind).lower()
    except ValueError:  # protobuf keeps numbers that it has no name for
        return f"unknown-{int(kind)}"


def disconnect_reason(reason: DisconnectReason) -> str | None:
    """`client_initiated`, `connection_timeout` …; None where LiveKit gives none."""
    if reason == DisconnectReason.UNKNOWN_REASON:
        return None
    try:
        return DisconnectReason.Name(reason).lower()
    except ValueError:  # protobuf keeps numbers that it has no name for
        return f"unknown-{int(reason)}"
