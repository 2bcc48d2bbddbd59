"""The id of this installation, which all its processes read from their Temporal namespace.

It is in the memo of a schedule that never runs. Temporal creates a schedule only once and keeps it,
so API and workers agree, in whichever order they start.
"""

import re
import secrets
from contextlib import suppress
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
from typing_extensions import override

from adapters.temporal.client import RPC_TIMEOUT
from adapters.temporal.errors import temporal_errors
from domain.errors import EverlineError
from domain.sessions.ports import Installation

log = structlog.get_logger()

INSTALLATION = "installation"
"""Id of the schedule, and the name in its memo."""
_NOTE = "Never runs: its memo holds the id of this Everline installation."
# Readable without the encryption keys, by people and by an installation that lost them.
_PLAIN = temporalio.converter.default().payload_converter


class InstallationDiffers(EverlineError):
    """`EVERLINE_INSTALLATION` is not the id of this Temporal namespace; do not start."""

    code = "installation_differs"


class TemporalInstallation(Installation):
    """The id that all processes of a namespace share.

    `given` is `EVERLINE_INSTALLATION`; None takes the id of the namespace, or makes one up.
    """

    def __init__(self, client: Client, given: str | None) -> None:
        self._client = client
        self._given = given
        self._known: str | None = None

    @override
    async def id(self) -> str:
        if self._known is None:
            self._known = await self._agree()
        return self._known

    async def _agree(self) -> str:
        with temporal_errors():
            await self._offer(self._given or _new_id(self._client.namespace))
            handle = self._client.get_schedule_handle(INSTALLATION)
            found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        durable = _PLAIN.from_payload(found.raw_description.memo.fields[INSTALLATION], str)
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
        """Store a name unless there is one already."""
        never = Schedule(
            action=ScheduleActionStartWorkflow(INSTALLATION, id=INSTALLATION, task_queue="none"),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(days=365))]),
            state=ScheduleState(paused=True, note=_NOTE),
        )
        memo = {INSTALLATION: _PLAIN.to_payload(name)}
        with suppress(ScheduleAlreadyRunningError):
            await self._client.create_schedule(
                INSTALLATION, never, memo=memo, rpc_timeout=RPC_TIMEOUT
            )


def _new_id(namespace: str) -> str:
    """The namespace with a random part, because two clusters may both have a `default`."""
    return f"{re.sub('[^A-Za-z0-9_-]', '-', namespace)[:100]}-{secrets.token_hex(4)}"
