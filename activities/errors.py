"""How Everline's errors travel through Temporal."""

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from domain.errors import EverlineError, Unavailable


def as_application_error(error: EverlineError) -> ApplicationError:
    """The same error for Temporal: its code as type; only `Unavailable` is worth a retry."""
    away = isinstance(error, Unavailable)
    return ApplicationError(
        error.message,
        type=error.code,
        non_retryable=not away,
        next_retry_delay=_delay(error),
        category=ApplicationErrorCategory.BENIGN if away else ApplicationErrorCategory.UNSPECIFIED,
    )


def _delay(error: EverlineError) -> timedelta | None:
    wanted = error.retry_after if isinstance(error, Unavailable) else None
    return timedelta(seconds=wanted) if wanted is not None else None


class _Translate(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except EverlineError as error:
            raise as_application_error(error) from None


class TranslateErrors(Interceptor):
    """Worker interceptor: activities raise domain errors, Temporal sees application errors."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Wrap the chain of one activity."""
        return _Translate(next)
