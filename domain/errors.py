"""Errors that people can act on.

The API turns them into problem responses; activities turn them into Temporal application errors of
the same code.
"""


class EverlineError(Exception):
    """Base of all errors that Everline itself raises.

    Attributes:
        code: stable, machine-readable name, `snake_case`.
        message: one sentence for a person; never holds a secret or transcript text.
        field: the input field that is wrong, if one is.
        cure: what to do about it, if that is known.
        retry_after: seconds after which the same request may work, if that is known.
    """

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        cure: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.cure = cure
        self.retry_after = retry_after

    def in_full(self) -> str:
        """Message and cure on one line."""
        return "; ".join(filter(None, (self.message, self.cure)))


class InvalidInput(EverlineError):
    """The request is malformed; nothing was changed (HTTP 422)."""

    code = "invalid_input"


class Unauthenticated(EverlineError):
    """No key or token, or one that is not valid (HTTP 401)."""

    code = "unauthenticated"


class Forbidden(EverlineError):
    """A valid token that is not for this session, attempt or time (HTTP 403)."""

    code = "forbidden"


class NotFound(EverlineError):
    """Does not exist, or belongs to another org: both look the same (HTTP 404)."""

    code = "not_found"


class Conflict(EverlineError):
    """The request contradicts what already exists (HTTP 409)."""

    code = "conflict"


class PreconditionFailed(Conflict):
    """It has changed since the version that `If-Match` names (HTTP 412)."""

    code = "precondition_failed"


class RoomNameTaken(Conflict):
    """The LiveKit room exists and belongs to another session; it was not touched (HTTP 409)."""

    code = "room_name_taken"


class StaleAttempt(Conflict):
    """A claim of an attempt that is not, or no longer, the current one (HTTP 409)."""

    code = "stale_attempt"


class IdempotencyMismatch(Conflict):
    """The same idempotency key or session id with another request body (HTTP 409)."""

    code = "idempotency_mismatch"


class Unavailable(EverlineError):
    """A dependency is unavailable; the same request may work later (HTTP 503)."""

    code = "unavailable"


class NoCapacity(Unavailable):
    """No agent server has a free place for another agent, and nothing was changed (HTTP 503)."""

    code = "no_capacity"


class MessageRefused(Unavailable):
    """Temporal accepts no message for this one workflow now; others are not affected (HTTP 503)."""


class StorageUnavailable(Unavailable):
    """MongoDB is not configured or does not answer (HTTP 503)."""

    code = "storage_unavailable"


class Unreadable(StorageUnavailable):
    """This version cannot read what is stored (HTTP 500).

    Activities retry it like any outage, because another version or key can read it.
    """

    code = "unreadable"


class TooManyRequests(EverlineError):
    """The org exceeds a limit; `retry_after` is known (HTTP 429)."""

    code = "too_many_requests"


class SessionQuotaExceeded(TooManyRequests):
    """The org has the maximum number of open sessions (HTTP 429)."""

    code = "session_quota_exceeded"


class JoinQuotaExceeded(TooManyRequests):
    """The org has the maximum number of sessions that wait for their agents (HTTP 429)."""

    code = "join_quota_exceeded"


class RequestTimeout(EverlineError):
    """The request did not come in time (HTTP 408)."""

    code = "request_timeout"


class TooManyValues(EverlineError):
    """The request has more values than are handled at once (HTTP 413)."""

    code = "content_too_large"
