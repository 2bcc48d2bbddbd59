"""Ask a session to end."""

from api.dependencies import Services, require_session
from domain.ids import SessionKey
from domain.sessions.messages import EndRequest

END_EVENT = "end"
"""The same each time: a session that was asked to end knows it."""


async def end_session(wired: Services, key: SessionKey, by: str) -> bool:
    """Ask a session to end; False if it is closed already.

    Raises:
        NotFound: there is no such session in this org.
    """
    # Asked for first: Temporal takes an event that the session had before even if that is closed.
    if await wired.workflows.is_open(key):
        request = EndRequest(event_id=END_EVENT, by=by)
        if await wired.workflows.signal(key, request):
            return True
    await require_session(wired, key)
    return False
