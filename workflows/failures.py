"""What a failed step says, for people and for decisions."""

from temporalio.exceptions import ActivityError, ApplicationError, CancelledError


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


def is_final(error: ActivityError) -> bool:
    """Whether trying the same again is of no use."""
    return isinstance(error.cause, ApplicationError) and error.cause.non_retryable
