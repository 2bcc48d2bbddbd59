"""What the fuzzer leaves as it is made up, and what not; loaded by schemathesis, see its toml."""

from typing import Any

import schemathesis


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]  # its own signature is open
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Let no start wait for an agent: none comes, and each would take half a minute to say so."""
    query: dict[str, Any] | None = case.query
    if query is None:
        return
    if query.get("wait") in ("dispatched", "joined"):
        query["wait"] = "accepted"
    if case.path in ("/session", "/v1/sessions/start"):
        query.setdefault("wait", "accepted")
