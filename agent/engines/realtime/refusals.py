"""What a provider's error means for the start of a session.

Reasons hold statuses, codes and parameters only: a provider's message may quote the key or the
conversation.
"""

import re
from collections.abc import Iterator

from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault, EngineUnavailable
from agent.engines.realtime.providers import PROVIDERS

_KEY_CODES = {"401", "invalid_api_key", "account_deactivated"}
_FORBIDDEN = "403"
"""An account without the model, or a compatible server without realtime models."""
_ACCOUNT_CODES = {"402", "insufficient_quota", "credit_balance_exhausted"} | {
    "billing_hard_limit_reached"
}
_WILL_PASS = {"408", "425", "429", "rate_limit_exceeded", "server_error", "session_expired"}
_CLOSED_FOR_GOOD = {"1007", "1008"}
"""WebSocket close codes by which Gemini refuses a setup: invalid argument, policy."""
_HTTP_STATUS = re.compile(r"^HTTP (\d{3})")


def problem_of(error: BaseException, descriptor: Descriptor) -> EngineFault | EngineUnavailable:
    """The fault of the configuration or the account, or the provider's temporary failure."""
    provider = descriptor.provider
    code = _code(error)
    if code is None:
        return EngineUnavailable(f"{provider} cannot be reached ({type(error).__name__})")
    if code in _KEY_CODES or (code in _CLOSED_FOR_GOOD and _speaks_of_the_key(error)):
        return EngineFault(
            PROVIDERS[provider].key_setting, f"{provider} refuses it ({code})", "set a valid key"
        )
    if code == _FORBIDDEN:
        return EngineFault(
            descriptor.field,
            f"{provider} does not allow a session with the model {descriptor.model!r} ({code})",
            "use a key that may use it, and a base URL with realtime models",
        )
    if code in _ACCOUNT_CODES:
        return EngineFault(
            descriptor.field, f"{provider}'s account has no quota ({code})", "check its billing"
        )
    if code in _WILL_PASS or code.startswith("5"):
        return EngineUnavailable(f"{provider} cannot take a session now ({code})")
    if code.isdecimal() and code not in _CLOSED_FOR_GOOD and not code.startswith("4"):
        return EngineUnavailable(f"{provider} has closed the connection ({code})")
    return EngineFault(
        descriptor.field,
        f"{provider} refuses a session with the model {descriptor.model!r} ({code})",
        "use a model, voice and language that it offers, at a base URL with realtime models",
    )


def _code(error: BaseException) -> str | None:
    """The HTTP status, WebSocket close code or error code of an error or of what caused it."""
    for each in _chain(error):
        body: object = getattr(each, "body", None)
        code: object = getattr(body, "code", None)
        if code or getattr(body, "type", None):
            param: object = getattr(body, "param", None)
            name = str(code or getattr(body, "type", None))
            return f"{name}: {param}" if param and name not in _KEY_CODES else name
        response: object = getattr(each, "response", None)
        for owner, name in ((each, "status"), (response, "status_code"), (each, "code")):
            value: object = getattr(owner, name, None)
            if isinstance(value, int) and value > 0:
                return str(value)
        if match := _HTTP_STATUS.match(str(each)):
            return match.group(1)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _speaks_of_the_key(error: BaseException) -> bool:
    return any("api key" in str(each).lower() for each in _chain(error))
