"""Which installation this is: an id that all its processes find in their Temporal namespace.

It stands in the memo of a schedule that never runs. Temporal creates a schedule once, whoever is
first, and keeps it for ever; so API and workers agree, in whichever order they start.
"""

import re
import secrets
from datetime import timedelta

import structlog
import temporalio.converter
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.service import RPCError
from typing_extensions import override

from adapters.temporal.client import RPC_TIMEOUT
from adapters.temporal.errors import temporal_error
from domain.errors import EverlineError
from domain.sessions.ports import Installation

log = structlog.get_logger()

INSTALLATION = "installation"
"""Id of the schedule, and the name in its memo."""
_NOTE = "Paused for good: its memo holds the id of this Everline installation."
# Readable without our encryption keys, by people and by an installation that lost them.
_PLAIN = temporalio.converter.default().payload_converter


class InstallationDiffers(EverlineError):
    """`EVERLINE_INSTALLATION` is not the id that this Temporal namespace has: no start."""

    code = "installation_differs"


class TemporalInstallation(Installation):
    """The id that this process and all others of its namespace have."""

    def __init__(self, client: Client, given: str | None) -> None:
        """Look nowhere yet.

        Args:
            client: of the installation's namespace.
            given: `EVERLINE_INSTALLATION`; None for the id that the namespace has, or gets.
        """
        self._client = client
        self._given = given
        self._known: str | None = None

    @override
    async def id(self) -> str:
        if self._known is None:
            self._known = await self._agree()
        return self._known

    async def _agree(self) -> str:
        try:
            await self._offer(self._given or _made_up(self._client.namespace))
            durable = await self._durable()
        except (RPCError, RuntimeError) as error:
            raise temporal_error(error) from None
        if self._given not in (None, durable):
            raise InstallationDiffers(
                f"EVERLINE_INSTALLATION is {self._given!r}, and the installation in Temporal's"
                f" namespace {self._client.namespace!r} is {durable!r}",
                field="EVERLINE_INSTALLATION",
                cure=f"unset it or set it to {durable!r} for every process; to change the id, end"
                f" all calls, delete the schedule {INSTALLATION!r} and start every process again",
            )
        log.info("installation", id=durable)
        return durable

    async def _offer(self, name: str) -> None:
        """Make a name durable unless there is one."""
        never = Schedule(
            action=ScheduleActionStartWorkflow(INSTALLATION, id=INSTALLATION, task_queue="none"),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=365))]),
            state=ScheduleState(paused=True, note=_NOTE),
        )
        memo = {INSTALLATION: _PLAIN.to_payload(name)}
        try:
            await self._client.create_schedule(
                INSTALLATION, never, memo=memo, rpc_timeout=RPC_TIMEOUT
            )
        except ScheduleAlreadyRunningError:
            return

    async def _durable(self) -> str:
        handle = self._client.get_schedule_handle(INSTALLATION)
        found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        payload = found.raw_description.memo.fields[INSTALLATION]
        return _PLAIN.from_payload(payload, str)


def _made_up(namespace: str) -> str:
    """The namespace with a random part: two clusters may both have a `default`."""
    return f"{re.sub('[^A-Za-z0-9_-]', '-', namespace)[:100]}-{secrets.token_hex(4)}"
