"""Whose a LiveKit room is: its metadata says so, and LiveKit's webhooks carry it."""

import json

from domain.ids import SessionKey


def room_metadata(key: SessionKey) -> str:
    """The metadata of a session's room."""
    return json.dumps({"org": key.org, "session": key.session_id}, sort_keys=True)


def owner_of_room(metadata: str) -> SessionKey | None:
    """The session that a room's metadata names; None if the room is not ours."""
    try:
        owner = json.loads(metadata)
        return SessionKey(str(owner["org"]), str(owner["session"]))
    except (ValueError, TypeError, KeyError):
        return None
