"""Free the session's slot when it ends."""

from pydantic import BaseModel
from temporalio import activity

from domain.access.ports import Slots
from domain.errors import StorageUnavailable
from domain.ids import SessionKey


class FreeSlot(BaseModel):
    """The session that ends."""

    org: str
    session_id: str


class SlotActivities:
    """The slots are in MongoDB; without it (None) no session holds one."""

    def __init__(self, slots: Slots | None) -> None:
        self._slots = slots

    @activity.defn
    async def free_slot(self, order: FreeSlot) -> bool:
        """Free the session's slot; False if it was freed before."""
        if self._slots is None:
            raise StorageUnavailable(
                "the session was started with MongoDB, and this worker has none",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        return await self._slots.free(SessionKey(order.org, order.session_id))
