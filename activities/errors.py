"""How Everline's errors travel through Temporal."""

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
        category=ApplicationErrorCategory.BENIGN if away else ApplicationErrorCategory.UNSPECIFIED,
    )


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
