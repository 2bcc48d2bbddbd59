"""Ask a session to end."""

from api.dependencies import Services, require_session
from domain.ids import SessionKey
from domain.messages import EndRequest


async def end_session(wired: Services, key: SessionKey, event_id: str, by: str) -> bool:
    """Ask a session to end; False if it is closed already.

    Raises:
        NotFound: there is no such session in this org.
    """
    if await wired.workflows.signal(key, EndRequest(event_id=event_id, by=by)):
        return True
    await require_session(wired, key)
    return False
