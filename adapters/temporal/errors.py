"""Mapping of Temporal's errors: an outage, an invalid request, or a conflicting state."""

from collections.abc import Generator
from contextlib import contextmanager

from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import ResourceExhaustedFailure
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Conflict, EverlineError, InvalidInput, MessageRefused, Unavailable

_DETAIL_CHARS = 200
_AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNKNOWN,
)
_WRONG_REQUEST = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.OUT_OF_RANGE)
_WRONG_STATE = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ALREADY_EXISTS)
_NOT_YET = {
    "WorkflowNotReadyFailure": "look at the workflow in the Temporal UI: its tasks fail",
    "NamespaceNotActiveFailure": "wait until the namespace's failover is over",
    "NamespaceInvalidStateFailure": "check TEMPORAL_NAMESPACE: its state does not allow this",
}
"""Failed preconditions that pass, or that an operator can fix: the request is valid."""

_OF_ONE_WORKFLOW = (
    ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW,
    ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
)
"""Causes of RESOURCE_EXHAUSTED that concern one workflow; the others concern the namespace."""
_SIGNAL_LIMIT = "execution limit for signal"

_UNCONNECTED = {
    "UnknownIssuer": (
        "its certificate is not signed by a trusted authority",
        "check TEMPORAL_TLS_CA: the certificate of the authority that signed it",
    ),
    "NotValidForName": (
        "its certificate is for another name",
        "use a name in TEMPORAL_ADDRESS that the certificate covers",
    ),
    "NotValidYet": (
        "its certificate is not valid yet",
        "check this machine's clock, and the certificate's first day",
    ),
    "Expired": (
        "its certificate has expired",
        "renew Temporal's certificate, or correct this machine's clock if it runs ahead",
    ),
    "InvalidContentType": (
        "there is no TLS at this address",
        "check TEMPORAL_ADDRESS, or unset TEMPORAL_TLS",
    ),
    "Unauthenticated": (
        "it does not accept the API key",
        "check TEMPORAL_API_KEY and TEMPORAL_NAMESPACE",
    ),
    "hyper::Error": (
        "it closes the connection",
        "check TEMPORAL_ADDRESS, TEMPORAL_TLS if it requires TLS, and TEMPORAL_TLS_CERT and"
        " TEMPORAL_TLS_KEY if it requires client certificates",
    ),
}
"""By a word in the SDK's message about a failed connection: the reason, and its cure."""


def is_not_found(error: BaseException) -> bool:
    """Whether Temporal does not know the workflow; a missing namespace is another error."""
    return (
        isinstance(error, RPCError)
        and error.status is RPCStatusCode.NOT_FOUND
        and "NamespaceNotFoundFailure" not in _kinds(error)
    )


def has_never_run(error: RPCError) -> bool:
    """Whether a workflow cannot be queried because no worker has ever run it."""
    return "WorkflowNotReadyFailure" in _kinds(error)


def temporal_error(error: RPCError | RuntimeError) -> EverlineError:
    """The error for a failed call, except for an unknown workflow.

    The lazy client raises `RuntimeError` until its first connection.
    """
    if not isinstance(error, RPCError):
        return not_connected(error)
    detail = error.message[:_DETAIL_CHARS]
    if error.status in _AWAY:
        return temporal_is_away(error.message)
    if "search attribute" in error.message.lower():
        return Unavailable(
            f"Temporal refuses the call: {detail}",
            cure="register Everline's search attributes in TEMPORAL_NAMESPACE",
            retry_after=10,
        )
    if error.status in _WRONG_REQUEST:
        return InvalidInput(f"Temporal cannot take this request: {detail}")
    if error.status in _WRONG_STATE:
        cure = next((_NOT_YET[kind] for kind in _kinds(error) if kind in _NOT_YET), None)
        if cure:
            return Unavailable(f"Temporal cannot do this now: {detail}", cure=cure, retry_after=10)
        return Conflict(f"Temporal does not allow this: {detail}")
    return Unavailable(
        f"Temporal refuses the call ({error.status.name}): {detail}",
        cure="check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, and what Everline may do there",
        retry_after=10,
    )


def message_error(error: RPCError | RuntimeError) -> EverlineError:
    """The error for a failed message to a workflow, except for an unknown workflow.

    Everline itself writes these messages. So if Temporal refuses one, the client's request is not
    the reason: the workflow is busy, or has reached one of Temporal's limits.
    """
    meant = temporal_error(error)
    if isinstance(error, RPCError) and (not isinstance(meant, Unavailable) or _is_busy(error)):
        return MessageRefused(
            f"Temporal accepts no message for this workflow now: {error.message[:_DETAIL_CHARS]}",
            cure="try again; if it has reached a limit, terminate it in the Temporal UI",
            retry_after=10,
        )
    return meant


def is_signal_limit(error: RPCError) -> bool:
    """Whether the workflow has had as many signals as Temporal allows."""
    return error.status is RPCStatusCode.INVALID_ARGUMENT and _SIGNAL_LIMIT in error.message


@contextmanager
def temporal_errors() -> Generator[None]:
    """Map the errors of a call with `temporal_error`."""
    try:
        yield
    except (RPCError, RuntimeError) as error:
        raise temporal_error(error) from None


@contextmanager
def message_errors() -> Generator[None]:
    """Map the errors of a message to a workflow with `message_error`."""
    try:
        yield
    except (RPCError, RuntimeError) as error:
        raise message_error(error) from None


def not_connected(error: RuntimeError) -> Unavailable:
    """Why the first connection failed: an outage, or TLS or credentials."""
    text = str(error)
    for sign, (meaning, cure) in _UNCONNECTED.items():
        if sign in text:
            return Unavailable(f"Temporal cannot be connected to: {meaning}", cure=cure)
    return temporal_is_away(text)


def temporal_is_away(detail: str) -> Unavailable:
    """The error for no answer in time."""
    return Unavailable(
        f"Temporal does not answer ({detail[:_DETAIL_CHARS]})",
        cure="check TEMPORAL_ADDRESS, and that Temporal runs",
    )


def _is_busy(error: RPCError) -> bool:
    for detail in error.grpc_status.details:
        failure = ResourceExhaustedFailure()
        if detail.Unpack(failure) and failure.cause in _OF_ONE_WORKFLOW:
            return True
    return False


def _kinds(error: RPCError) -> set[str]:
    """Type names of the details in an error."""
    return {detail.type_url.rpartition(".")[2] for detail in error.grpc_status.details}
