"""The Everline installations that share a LiveKit server."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.ids import SessionKey
from domain.sessions.ports import Room
from domain.sessions.rooms import owner_of_room


@dataclass(frozen=True)
class Neighbours:
    """The installations that the rooms of a LiveKit server name."""

    others: Sequence[str]
    """Sorted ids of the other installations."""
    unnamed: dict[str, SessionKey]
    """By name, rooms that name no installation, with their sessions."""


def neighbours(rooms: Sequence[Room], installation: str) -> Neighbours:
    """The other installations that these rooms name."""
    others: set[str] = set()
    unnamed: dict[str, SessionKey] = {}
    for room in rooms:
        owner = owner_of_room(room.metadata)
        if owner and owner.installation is None:
            unnamed[room.name] = owner.key
        elif owner and owner.installation and owner.installation != installation:
            others.add(owner.installation)
    return Neighbours(sorted(others), unnamed)
