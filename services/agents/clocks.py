"""Whether the clocks of the machines that take part in a call agree."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.agents.servers import AgentServer
from domain.clocks import described, differences

API_CLOCK = "this API's"
REMEMBERED_SECONDS = 60.0


@dataclass
class RefusedClocks:
    """The last agent server whose heartbeat was refused because of its clock."""

    now: Callable[[], float] = time.monotonic
    _ahead: float = field(default=0.0, init=False)
    _at: float = field(default=float("-inf"), init=False)

    def refused(self, ahead: float) -> None:
        """A genuine heartbeat was refused; its sender's clock is so many seconds ahead."""
        self._ahead, self._at = ahead, self.now()

    def lately(self) -> float | None:
        """Seconds by which that clock is ahead; None if none was refused in the last minute."""
        return self._ahead if self.now() - self._at <= REMEMBERED_SECONDS else None


def clocks_that_differ(
    ahead: Mapping[str, float | None], servers: Sequence[AgentServer], refused: float | None
) -> list[str]:
    """In words, whose clocks differ from the API's, by measurements and by heartbeats.

    Args:
        ahead: seconds by which each server's clock is ahead.
        servers: the agent servers, whose heartbeats say when they were sent.
        refused: as `RefusedClocks.lately`.
    """
    agents = {f"agent server {server.server_id}": server.clock_ahead for server in servers}
    of_agents = differences(agents, API_CLOCK)
    found = [*differences(ahead, API_CLOCK), *of_agents]
    # One that is accepted now has corrected its time after it was refused.
    if refused is not None and not of_agents:
        told = described("an agent server", refused, API_CLOCK)
        found.append(f"{told}, so its heartbeats are refused")
    return found
