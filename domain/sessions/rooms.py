"""Whose a LiveKit room is: its metadata says so, and LiveKit's webhooks carry it."""

import json
from typing import Any, NamedTuple

from domain.ids import SessionKey


class RoomOwner(NamedTuple):
    """The session that a room's metadata names, and the installation that opened the room."""

    key: SessionKey
    installation: str | None
    """None in rooms of releases that wrote none: they may be anybody's."""

    def may_be(self, key: SessionKey, installation: str) -> bool:
        """Whether it is this session's room, also if no installation stands in it."""
        return self.key == key and self.installation in (None, installation)


def room_metadata(key: SessionKey, installation: str) -> str:
    """The metadata of a session's room."""
    content = {"org": key.org, "session": key.session_id, "installation": installation}
    return json.dumps(content, sort_keys=True)


def owner_of_room(metadata: str) -> RoomOwner | None:
    """Who a room's metadata says its owner is; None if it is not a room of Everline's."""
    try:
        content: dict[str, Any] = json.loads(metadata)
        key = SessionKey(str(content["org"]), str(content["session"]))
        installation = content.get("installation")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return RoomOwner(key, None if installation is None else str(installation))
