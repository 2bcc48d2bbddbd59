"""What others are told about a session: its record in MongoDB, and the customer's webhooks."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.session_parts.context import SessionContext
    from workflows.waiting import retrieve_exception


class Records:
    """Keeps one session's record up to date; without an archive there is none."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._wanted = session.request.archive
        self._skip_until_final = False
        self._announcement: workflow.ActivityHandle[int] | None = None

    async def write(self) -> None:
        """Write how far the session is.

        Once that has failed, only webhooks are told, until the final record.
        """
        if self._wanted and not self._skip_until_final:
            try:
                return await self._session.activities.record(self._session.tracker.status)
            except FailureError:
                # A local activity's failure arrives as it is, without an ActivityError around it;
                # that its worker was shut down is one, too.
                self._skip_until_final = True
                self._session.tracker.log("the record could not be written, it follows at the end")
        self.announce()

    def announce(self) -> None:
        """Tell webhooks how far the session is, without a record, while the session goes on."""
        if not self._wanted:
            return
        self.stop_announcing()
        self._announcement = self._session.activities.announce_later(self._session.tracker.status)
        retrieve_exception(self._announcement)

    def stop_announcing(self) -> None:
        """Cancel an announcement that waits: each later record announces everything."""
        if self._announcement:
            self._announcement.cancel()

    async def write_final(self) -> None:
        """Write the closed session's record, for as long as it takes."""
        if self._wanted:
            await self._session.activities.record_the_end(self._session.tracker.status)
