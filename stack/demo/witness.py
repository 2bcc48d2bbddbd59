"""Asks LiveKit directly who is in the room, and whether the room still exists."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp
from livekit import api
from livekit.protocol import models
from livekit.protocol import room as rooms

_ATTEMPT = "everline.attempt"


class WitnessSilentError(Exception):
    """LiveKit did not answer."""


@dataclass(frozen=True)
class AgentInRoom:
    """An agent participant as LiveKit lists it, with its `everline.attempt` attribute."""

    identity: str
    active: bool
    attempt: str | None


class Witness:
    """Requests to LiveKit's server API, bypassing Everline."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._api = api.LiveKitAPI(url, api_key, api_secret)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # LiveKitAPI.aclose is not annotated.
        await self._api.aclose()  # pyright: ignore[reportUnknownMemberType]

    async def agents_in(self, room: str) -> list[AgentInRoom]:
        """Return the agents that LiveKit lists in a room.

        Raises:
            WitnessSilentError: it does not answer.
        """
        request = rooms.ListParticipantsRequest(room=room)
        with _asking():
            found = await self._api.room.list_participants(request)
        return [
            AgentInRoom(
                identity=participant.identity,
                active=participant.state == models.ParticipantInfo.State.ACTIVE,
                attempt=participant.attributes.get(_ATTEMPT),
            )
            for participant in found.participants
            if participant.kind == models.ParticipantInfo.Kind.AGENT
        ]

    async def rooms_named(self, room: str) -> list[str]:
        """Return the rooms of that name that LiveKit lists: none, or one.

        Raises:
            WitnessSilentError: it does not answer.
        """
        with _asking():
            found = await self._api.room.list_rooms(rooms.ListRoomsRequest(names=[room]))
        return [listed.name for listed in found.rooms]


@contextmanager
def _asking() -> Generator[None]:
    try:
        yield
    except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
        raise WitnessSilentError(f"LiveKit did not answer ({type(error).__name__})") from None
