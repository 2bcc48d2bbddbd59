"""The conversation before this attempt, from the API and from this agent server's spool."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from agent.call.claim import retry_until
from agent.callbacks import CallbackClient, CallbackError
from agent.spool import Disk, DiskHangs, undelivered_turns
from domain.sessions.dispatch_metadata import EverlineMetadata
from domain.transcripts.transcript import Turn, ordered

log = structlog.stdlib.get_logger(__name__)

DELIVERY_SECONDS = 3.0
"""How long to wait for a turn that another agent server still has to deliver."""
_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class History:
    """What is known of the conversation before this attempt."""

    turns: list[Turn]
    """In order."""
    complete: bool = True
    """Whether no turn is known to be missing."""


async def read_history(
    client: CallbackClient,
    session_id: str,
    everline: EverlineMetadata,
    spool: Path,
    deadline: float,
) -> History:
    """Read the turns so far; wait for a turn that is known to be on its way.

    Raises:
        CallbackError: the API refuses, or does not answer until `deadline` (monotonic seconds).
    """

    async def read(until: float) -> list[Turn]:
        # In this order, because what is delivered meanwhile leaves the spool.
        waiting = await _undelivered(spool, everline.org, session_id)
        fetch = partial(client.turns_so_far, session_id)
        known = [*await retry_until(until, "turns_so_far", fetch), *waiting]
        # A turn that waits may be a later revision.
        turns = {(turn.attempt, turn.item_id): turn for turn in known}
        return ordered(turn for turn in turns.values() if turn.attempt < everline.attempt)

    awaited = everline.undelivered_turn
    turns = await read(deadline)
    until = min(deadline, time.monotonic() + DELIVERY_SECONDS)
    while awaited and all(turn.item_id != awaited for turn in turns):
        if time.monotonic() >= until:
            log.warning("history_incomplete", seconds=DELIVERY_SECONDS, turns=len(turns))
            return History(turns, complete=False)
        await asyncio.sleep(_CHECK_SECONDS)
        try:
            turns = await read(until)
        except CallbackError as error:
            log.warning("history_incomplete", why=str(error), turns=len(turns))
            return History(turns, complete=False)
    return History(turns)


async def _undelivered(spool: Path, org: str, session_id: str) -> list[Turn]:
    try:
        turns = await Disk().ask(partial(undelivered_turns, spool, org, session_id))
    except (DiskHangs, OSError) as error:
        log.error("spool_unreadable", error=str(error))
        return []
    if turns:
        log.info("undelivered_turns_read", turns=len(turns))
    return turns
