"""Who of the callers is in the room, when LiveKit's webhooks do not tell.

Webhooks are hints and may be lost. So the room is checked before a caller's absence ends a call,
and at intervals while the caller is believed to be in it.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.callers import CallersSeen
    from activities.joining import Caller
    from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
    from domain.sessions.session import SessionInput
    from workflows.handlers import SessionHandlers
    from workflows.waiting import passed, until

CHECKS = "check-the-room-for-callers"
"""The patch: sessions that were started before it end by time alone."""
PAUSE = 60.0
"""Seconds after a check that failed for good, which no answer of LiveKit's makes it do."""


class CallerWatch(SessionHandlers):
    """Checks the room for callers, beside the story of the session."""

    def __init__(self, request: SessionInput) -> None:
        super().__init__(request)
        self._watch: asyncio.Task[None] | None = None
        self._check: workflow.ActivityHandle[CallersSeen] | None = None
        self._absent_at: datetime | None = None
        """The deadline at which a check found nobody: it ends the call."""
        self._caller_turns: int | None = None
        """How many turns of callers were stored at the last check that found nobody."""

    def _start_watching_callers(self) -> None:
        if workflow.patched(CHECKS):
            self._watch = asyncio.create_task(self._watch_callers())

    def _stop_watching_callers(self) -> None:
        if self._watch:
            self._watch.cancel()
        if self._check:
            self._check.cancel()

    async def _watch_callers(self) -> None:
        """Check the room whenever the caller is missed, and while the caller is there.

        Each check ends with a change: a caller who was missed, found, or came meanwhile. So the
        history grows with what happens in the room, not with the time.
        """
        while True:
            if not await until(lambda: self._presence.present or self._missed_at() is not None):
                continue
            missed_at = self._missed_at()
            here, everybody = self._presence.here, self._anybody.here
            check = self._check = self._activities.look_for_callers(sorted(here))
            await until(lambda done=check.done, known=here: done() or self._presence.here != known)
            if not check.done():
                check.cancel()
                continue
            try:
                seen = await check
            except ActivityError:
                await until(lambda: False, PAUSE, "before the next check of the room")
                continue
            self._take_in_check(everybody, seen)
            if missed_at is not None and self._missed_at() == missed_at:
                self._absent_at = missed_at
                self._tracker.touch()

    def _take_in_check(self, before: dict[str, str], seen: CallersSeen) -> None:
        came = not self._presence.present
        self._take_in_seen(seen.callers)
        if came and self._presence.present:
            self._tracker.log("found by a check of the room: no webhook of LiveKit's had told")
        sids = {caller.sid for caller in seen.callers}
        # Who came during the check may not have been listed yet.
        for sid, identity in before.items():
            if sid not in sids:
                self._take_in_caller(_change(ParticipantChange.NOT_SEEN, identity, sid))
        if not self._presence.present and seen.turns is not None:
            self._take_in_turns(seen.turns)

    def _take_in_seen(self, callers: Sequence[Caller]) -> None:
        """The webhook that a caller came may have been lost; who was seen is there."""
        for caller in callers:
            self._take_in_caller(_change(ParticipantChange.JOINED, caller.identity, caller.sid))

    def _take_in_turns(self, turns: int) -> None:
        """A caller who has spoken since the last check was there, whoever did not see it."""
        known, self._caller_turns = self._caller_turns, turns
        if known is None:
            # What somebody who came by a webhook has said before may be long ago.
            known = turns if self._presence.ever_came else 0
        if turns > known:
            self._presence.heard(workflow.now())
            self._tracker.log("the caller has spoken, although nobody was found in the room")

    def _caller_deadline(self) -> datetime | None:
        return self._presence.missed_at(self._tracker.status.joined_at, self._limits)

    def _missed_at(self) -> datetime | None:
        """The deadline that has passed and waits for a check of the room; None without one."""
        at, watch = self._caller_deadline(), self._watch
        if watch is None or watch.done() or at == self._absent_at or not passed(at):
            return None
        return at

    def _caller_is_absent(self) -> bool:
        """Whether the caller's absence ends the call."""
        return passed(self._caller_deadline()) and self._missed_at() is None


def _change(change: ParticipantChange, identity: str, sid: str) -> ParticipantChanged:
    """What a check found, as a webhook would tell it."""
    return ParticipantChanged(
        event_id=f"seen:{sid}",
        change=change,
        identity=identity,
        sid=sid,
        kind=ParticipantKind.CALLER,
    )
