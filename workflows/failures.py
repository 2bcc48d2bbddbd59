"""What a failed step says, for people and for decisions."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

with workflow.unsafe.imports_passed_through():
    from domain.errors import RoomNameTaken
    from domain.sessions.end_reasons import EndReason
    from domain.sessions.ending import Ending
    from domain.sessions.session import Outcome


def reason_of(error: ActivityError) -> str:
    """The innermost error's sentence, for people: a time-out does not say what it waited for."""
    innermost = _innermost(error)
    if isinstance(innermost, CancelledError):
        return "cancelled"
    return innermost.message if isinstance(innermost, ApplicationError) else str(innermost)


def was_cancelled(error: ActivityError) -> bool:
    """Whether the session itself cancelled the step."""
    return isinstance(_innermost(error), CancelledError)


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__:
        error = error.__cause__
    return error


def code_of(error: ActivityError) -> str | None:
    """The code of the domain error behind it."""
    return error.cause.type if isinstance(error.cause, ApplicationError) else None


def ending_of(error: ActivityError) -> Ending:
    """A step that could not be done in its time ends the session, with the reason."""
    taken = code_of(error) == RoomNameTaken.code
    end_reason = EndReason.ROOM_NAME_TAKEN if taken else EndReason.FAILED
    return Ending(end_reason, reason_of(error), Outcome.FAILED)


def is_final(error: ActivityError) -> bool:
    """Whether trying the same again is of no use."""
    return isinstance(error.cause, ApplicationError) and error.cause.non_retryable
