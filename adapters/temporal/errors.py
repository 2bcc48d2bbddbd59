"""What Temporal's errors mean: an outage, a wrong request, or a state that does not allow it."""

from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Conflict, EverlineError, InvalidInput, Unavailable

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
"""Failed preconditions that pass, or that an operator mends: the request itself is right."""

_UNCONNECTED = {
    "UnknownIssuer": (
        "its certificate is signed by nobody who is trusted here",
        "check TEMPORAL_TLS_CA: the file of the authority that signed it",
    ),
    "NotValidForName": (
        "its certificate is for another name",
        "give TEMPORAL_ADDRESS a name for which the certificate is",
    ),
    "Expired": ("its certificate has expired", "renew Temporal's certificate"),
    "InvalidContentType": (
        "there is no TLS at this address",
        "check TEMPORAL_ADDRESS, or unset TEMPORAL_TLS",
    ),
    "Unauthenticated": (
        "it does not know who asks",
        "check TEMPORAL_API_KEY and TEMPORAL_NAMESPACE",
    ),
    "hyper::Error": (
        "it ends the connection",
        "check TEMPORAL_ADDRESS, TEMPORAL_TLS if it wants TLS, and TEMPORAL_TLS_CERT and"
        " TEMPORAL_TLS_KEY if it wants to know its clients",
    ),
}
"""What stands in the SDK's account of a connection that failed: what it means, and its cure."""


def is_not_found(error: BaseException) -> bool:
    """Whether Temporal does not know the workflow; a namespace that it lacks is another matter."""
    return (
        isinstance(error, RPCError)
        and error.status is RPCStatusCode.NOT_FOUND
        and "NamespaceNotFoundFailure" not in _kinds(error)
    )


def temporal_error(error: RPCError | RuntimeError) -> EverlineError:
    """The error for a call that failed, other than for a workflow that is not there.

    Args:
        error: the SDK's; the lazy client raises `RuntimeError` until its first connection.
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


def not_connected(error: RuntimeError) -> Unavailable:
    """Why there is no first connection: an outage, or the two do not trust each other."""
    text = str(error)
    for sign, (meaning, cure) in _UNCONNECTED.items():
        if sign in text:
            return Unavailable(f"Temporal cannot be connected to: {meaning}", cure=cure)
    return temporal_is_away(text)


def temporal_is_away(detail: str) -> Unavailable:
    """Nobody answers, or not in time."""
    return Unavailable(
        f"Temporal does not answer ({detail[:_DETAIL_CHARS]})",
        cure="check TEMPORAL_ADDRESS, and that Temporal runs",
    )


def _kinds(error: RPCError) -> set[str]:
    """Names of the details that Temporal gives with an error."""
    return {detail.type_url.rpartition(".")[2] for detail in error.grpc_status.details}
