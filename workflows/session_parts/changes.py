"""What operators and clients may change in an open session.

They may have a longer call, another agent, or a quicker close.
"""

from collections import Counter
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.errors import Conflict, IdempotencyMismatch, NoCapacity
    from domain.sessions.messages import Extend
    from domain.sessions.session import LONGEST_CALL, SessionState
    from workflows.session_parts.context import SessionContext

MAX_CHANGES = {"extended": 300, "redispatched": 50, "finalised": 50, "delivered": 300}
"""How often a session can be changed in each way, or be told something by an update.

Temporal takes 2,000 updates of one workflow, and agents need some of them for their claims.
"""


class Changes:
    """Which changes one session has had, and which it may still have.

    The `require…` methods raise `ApplicationError` with the code of a domain error.
    """

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._counts: Counter[str] = Counter()
        self._extensions: dict[str, float] = {}

    def count(self, change: str) -> None:
        """Count an update of this kind, whatever comes of it: Temporal counts it, too."""
        self._counts[change] += 1

    def require_extendable(self, order: Extend) -> None:
        """The call is in progress, and will not be longer than a call may be."""
        seconds = self._extensions.get(order.idempotency_key or "")
        if seconds == order.seconds:
            return
        if seconds is not None:
            raise refused(
                IdempotencyMismatch.code, "this key has extended the session by a different time"
            )
        status = self._session.tracker.status
        over = self._session.ending is not None or status.state.call_is_over()
        if status.joined_at is None or status.deadline is None or over:
            raise refused(Conflict.code, "only a call in progress can be extended")
        longest = status.joined_at + timedelta(seconds=LONGEST_CALL)
        if status.deadline + timedelta(seconds=order.seconds) > longest:
            raise refused(Conflict.code, "a call can last at most 24 hours")

    def extend(self, order: Extend) -> None:
        """Move the call's maximum duration, once for each idempotency key."""
        self.count("extended")
        status, key = self._session.tracker.status, order.idempotency_key
        if status.deadline and (key is None or key not in self._extensions):
            status.deadline += timedelta(seconds=order.seconds)
            if key is not None:
                self._extensions[key] = order.seconds
            self._session.tracker.log(f"extended by {order.seconds:g} s")

    def require_live(self) -> None:
        """There is an agent in a live call, which can be replaced."""
        over = self._session.revised_ending and self._session.ending
        if self._session.tracker.status.state is not SessionState.LIVE or over:
            raise refused(Conflict.code, "an agent can be replaced only in a live call")

    async def require_free_place(self) -> None:
        """An agent server would take another dispatch, as far as anybody knows."""
        try:
            free = await self._session.activities.count_free_places()
        except ActivityError:
            # MongoDB is down: nobody knows, as without MongoDB.
            return
        if free == 0:
            name = self._session.request.agent_name
            raise refused(
                NoCapacity.code, f"no agent server named {name!r} has a free place for a new agent"
            )

    def require_open(self) -> None:
        """The session is not closed."""
        # The workflow goes on for a moment, until the end is recorded and the room is gone.
        if self._session.tracker.status.state is SessionState.CLOSED:
            raise refused(Conflict.code, "the session is closed")

    def require_one_left(self, change: str) -> None:
        """The session may be changed in this way once more."""
        most = MAX_CHANGES[change]
        if self._counts[change] >= most:
            if change == "delivered":
                reason = f"a session accepts at most {most} messages as an update"
            else:
                reason = f"a session can be {change} at most {most} times"
            raise refused(Conflict.code, reason)


def refused(code: str, reason: str) -> ApplicationError:
    """The error by which an update is refused.

    Args:
        code: the code of a domain error, which the API answers with.
        reason: the sentence for whoever asked.
    """
    return ApplicationError(reason, type=code, non_retryable=True)
