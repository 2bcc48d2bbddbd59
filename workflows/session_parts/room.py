"""The session's room in LiveKit: made at the start, and deleted once nobody is served in it."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.errors import RoomNameTaken
    from workflows.failures import code_of, reason_of
    from workflows.session_parts.context import SessionContext
    from workflows.waiting import pause

DELETION_PAUSE = 600.0
"""Seconds between two activities that delete a room, if the first one has failed."""


class SessionRoom:
    """The room of one session."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._deletion: asyncio.Task[None] | None = None
        self.may_exist = False
        """Whether it was made, or may have been, and is not known to be deleted."""

    async def open(self) -> None:
        """Create the room, unless the call ends before.

        Raises:
            ActivityError: it could not be created in time, or its name is another session's.
        """
        # Yield once, so that an end or a cancel that came before is seen before a room is made.
        await asyncio.sleep(0)
        if self._session.ending:
            # The first attempt finds it.
            return
        try:
            await self._session.cancel_if_call_ends(self._session.activities.open_room())
        except ActivityError as error:
            # After a time-out or a cancel, the room may exist all the same.
            self.may_exist = code_of(error) != RoomNameTaken.code
            raise
        self.may_exist = True
        self._session.tracker.log("room created")

    def start_deleting(self) -> None:
        """Disconnect everybody, by deleting the room in the background; once begun, it goes on."""
        if self.may_exist and not self._deletion and self._session.revised_ending:
            within = self._session.limits.room_deletion_wait
            self._deletion = self._session.run_in_background(self._delete(within))

    async def remove_callers(self) -> None:
        """Disconnect the callers; the room stays."""
        try:
            await self._session.activities.remove_callers()
        except ActivityError as error:
            self._session.tracker.log(f"the callers were not disconnected: {reason_of(error)}")

    async def delete_within_limit(self) -> None:
        """Delete the room, within the time that the close waits for it."""
        if self._deletion:
            await self._deletion
        elif self.may_exist:
            await self._delete(self._session.limits.room_deletion_wait)
        else:
            self._session.tracker.room_never_made()

    async def delete_until_gone(self) -> None:
        """Delete the room, for as long as it takes: people repair a wrong key, and it has to go."""
        while self.may_exist:
            await self._delete(within=None)
            if self.may_exist:
                # The activity tries on whatever LiveKit answers; only an older worker's fails.
                await pause(DELETION_PAUSE, "before the room is deleted again")

    async def _delete(self, within: float | None) -> None:
        try:
            await self._session.activities.delete_room(within)
        except ActivityError as error:
            self._session.tracker.log(f"the room is not deleted yet: {reason_of(error)}")
        else:
            self.may_exist = False
            self._session.tracker.room_deleted()
