"""Health check of this machine's agent server: `python -m agent.server.health`.

A dispatch only finds an agent server whose heartbeats arrive. So the API must have heard from this
host lately, under the name to which calls are dispatched.
"""

import socket
import sys
from datetime import UTC, datetime, timedelta

import httpx
from pydantic import BaseModel, ValidationError

from adapters.http.clocks import date_of
from adapters.settings import AgentSettings, SettingsError, load
from domain.agents.servers import AgentServer

SILENT_AFTER = timedelta(seconds=15)
"""Heartbeats come every two seconds."""
ANSWER_SECONDS = 5.0


class NotHeardError(Exception):
    """The agent server is not heard; the message says why."""


class _Report(BaseModel):
    """The fields of `/health/agent` that are read here."""

    agent_name: str
    servers: list[AgentServer]


def check(settings: AgentSettings, hostname: str) -> None:
    """Return if the API hears this host's agent server under the right name.

    The ids of agent servers begin with `hostname`.

    Raises:
        NotHeardError: The API does not answer, or has not heard from it lately.
    """
    if settings.everline_callback_url is None:
        raise NotHeardError("EVERLINE_CALLBACK_URL is not set, so no heartbeat is sent")
    url = settings.everline_callback_url.rstrip("/") + "/health/agent"
    try:
        # Bypass the machine's proxies; a 503 is an answer as well.
        answer = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False)
        report = _Report.model_validate_json(answer.content)
    except httpx.HTTPError as problem:
        raise NotHeardError(f"{url} does not answer ({type(problem).__name__})") from None
    except ValidationError:
        raise NotHeardError(f"{url} answers with something else") from None
    if report.agent_name != settings.dispatch_name:
        raise NotHeardError(
            f"calls are dispatched to {report.agent_name!r}, this agent is"
            f" {settings.dispatch_name!r}: set AGENT_NAME to the same value for both"
        )
    # By the API's clock, which wrote the times of the heartbeats.
    sent = date_of(answer)
    now = datetime.now(UTC) if sent is None else datetime.fromtimestamp(sent, UTC)
    if not heard_lately(report.servers, hostname, now):
        raise NotHeardError(f"the API has not heard from an agent server of {hostname} lately")


def heard_lately(servers: list[AgentServer], hostname: str, now: datetime) -> bool:
    """Tell whether one of a host's agent servers was heard within `SILENT_AFTER`."""
    return any(
        server.server_id.startswith(f"{hostname[:100]}:")
        and now - server.last_heartbeat <= SILENT_AFTER
        for server in servers
    )


def main() -> int:
    """Say what is wrong on standard error; returns the exit code, 1 if anything is."""
    try:
        check(load(AgentSettings), socket.gethostname())
    except (SettingsError, NotHeardError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
