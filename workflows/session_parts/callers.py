"""Which callers are in the room, and when their absence ends the call.

LiveKit's webhooks are hints and may be lost. So the room is checked before a caller's absence ends
a call, and at intervals while the caller is believed to be in it.

How an absence ends a call: `absence_deadline` passes; `absence_to_check` asks for a check of the
room; a check that finds nobody sets `_absent_at`; then `absence_ends_call` is true.
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
    from domain.sessions.presence import Presence
    from workflows.failures import reason_of
    from workflows.session_parts.context import SessionContext
    from workflows.waiting import passed, pause, retrieve_exception, until

CHECKS = "check-the-room-for-callers"
"""Patch: sessions that were started before it end on time alone, without a check of the room."""
LAST_LOOK = 3.0
"""Seconds that an ended call, to which nobody seems to have come, waits for LiveKit's answer."""
CHECKS_AT_FULL_SPEED = 20
"""After so many checks that found a change, and again after as many, they become half as frequent:
each writes history, and somebody who reconnects in a loop must not fill it."""
PAUSE_AFTER_FAILED_CHECK = 60.0
"""Seconds after a check that failed permanently; LiveKit's answers never cause that."""


class Callers:
    """The callers of one session."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self.anybody_counts = False
        """An external agent talks to whoever is there; our agent hears the session's caller."""
        self._everybody = Presence()
        self._people = {session.request.caller_identity: Presence()}
        self._watch: asyncio.Task[None] | None = None
        self._check: workflow.ActivityHandle[CallersSeen] | None = None
        self._absent_at: datetime | None = None
        """The deadline at which a check found nobody: it ends the call."""
        self._turns: int | None = None
        """How many turns of callers were stored at the last check that found nobody."""

    @property
    def present(self) -> bool:
        """Whether somebody is in the room whom the agent talks to."""
        return self._relevant.present

    @property
    def ever_came(self) -> bool:
        """Whether somebody whom the agent talks to has been in the room."""
        return self._relevant.ever_came

    @property
    def _relevant(self) -> Presence:
        session_caller = self._people[self._session.request.caller_identity]
        return self._everybody if self.anybody_counts else session_caller

    # ── what is reported about them ──────────────────────────────────────────────────────────────

    def record(self, change: ParticipantChanged) -> None:
        """Somebody came or left, according to LiveKit or to a check of the room."""
        self._everybody.apply(change, workflow.now())
        person = self._people.setdefault(change.identity or "", Presence())
        news = person.apply(change, workflow.now())
        self._update_status()
        who = "caller" if self._relevant in (person, self._everybody) else "somebody else:"
        if change.change is ParticipantChange.NOT_CONNECTED:
            why = change.detail or "no reason given"
            self._session.tracker.log(
                f"{who} {change.identity} tried and could not connect ({why})"
            )
        elif news:
            what = "is in the room" if person.present else "left the room"
            if change.change is ParticipantChange.NOT_SEEN:
                what = "is not in the room any more"
            self._session.tracker.log(f"{who} {change.identity} {what}")

    def _update_status(self) -> None:
        status, relevant = self._session.tracker.status, self._relevant
        status.caller_present = relevant.present
        status.caller_joined_at, status.caller_left_at = relevant.came_at, relevant.left_at

    def record_seen(self, callers: Sequence[Caller]) -> None:
        """These are in the room, although the webhook that they came may have been lost."""
        for caller in callers:
            self.record(_change(ParticipantChange.JOINED, caller.identity, caller.sid))

    # ── when their absence ends the call ─────────────────────────────────────────────────────────

    def absence_ends_call(self) -> bool:
        """Whether the callers' absence ends the call."""
        return passed(self.absence_deadline()) and self.absence_to_check() is None

    def absence_deadline(self) -> datetime | None:
        """When an absence that goes on ends the call; None while nobody is missed."""
        return self._relevant.missed_at(
            self._session.tracker.status.joined_at, self._session.limits
        )

    def absence_to_check(self) -> datetime | None:
        """The deadline that has passed and waits for a check of the room; None without one."""
        at, watch = self.absence_deadline(), self._watch
        if watch is None or watch.done() or at == self._absent_at or not passed(at):
            return None
        return at

    # ── checks of the room ───────────────────────────────────────────────────────────────────────

    def start_watching(self) -> None:
        """Check the room from now on, in parallel to whatever the session does."""
        if self._session.patched(CHECKS):
            self._watch = self._session.run_in_background(self._check_the_room())

    async def look_once(self) -> None:
        """Check the room for a caller whom no webhook has reported, before the call is over."""
        before = self._everybody.here
        check = self._session.activities.look_for_callers([])
        retrieve_exception(check)
        in_time = await self._session.until(check.done, LAST_LOOK, "the last look for a caller")
        if not in_time:
            check.cancel()
        try:
            self._record_check(before, await check)
        except ActivityError as error:
            why = reason_of(error) if in_time else f"LiveKit did not answer in {LAST_LOOK:g} s"
            self._session.tracker.log(f"whether a caller came is not known: {why}")

    def stop_watching(self) -> None:
        """Check the room no more."""
        if self._watch:
            self._watch.cancel()
        if self._check and self._session.short_history:
            # It ends with the workflow; to cancel it would take a workflow task of its own.
            self._check.add_done_callback(lambda done: done.cancelled() or done.exception())
        else:
            self.cancel_check()

    def cancel_check(self) -> None:
        """Cancel a check that is pending, because the session takes long to close."""
        if self._check:
            self._check.cancel()

    async def _check_the_room(self) -> None:
        """Check the room whenever a caller is missed, and while one is there.

        Each check ends with a change: a caller who was missed, found, or came meanwhile. So the
        history grows with what happens in the room, not with the time.
        """
        checks = 0
        while True:
            if not await until(lambda: self.present or self.absence_to_check() is not None):
                continue
            missed_at = self.absence_to_check()
            here, everybody = self._relevant.here, self._everybody.here
            checks += 1
            slower = 2 ** min(checks // CHECKS_AT_FULL_SPEED, 5)
            check = self._session.activities.look_for_callers(sorted(here), slower)
            self._check = check
            retrieve_exception(check)
            await until(lambda done=check.done, known=here: done() or self._relevant.here != known)
            if not check.done():
                check.cancel()
                continue
            try:
                seen = await check
            except ActivityError:
                await pause(PAUSE_AFTER_FAILED_CHECK, "before the next check of the room")
                continue
            self._record_check(everybody, seen)
            if missed_at is not None and self.absence_to_check() == missed_at:
                self._absent_at = missed_at
                self._session.tracker.touch()

    def _record_check(self, before: dict[str, str], seen: CallersSeen) -> None:
        was_present = self.present
        # Who was there and connects again is not gone; who never came may fail to connect.
        found = [*seen.callers, *(seen.connecting if self.ever_came else ())]
        self.record_seen(found)
        if self.present and not was_present:
            self._session.tracker.log(
                "found by a check of the room: no LiveKit webhook had reported it"
            )
        sids = {caller.sid for caller in found}
        # Who came during the check may not have been listed yet.
        for sid, identity in before.items():
            if sid not in sids:
                self.record(_change(ParticipantChange.NOT_SEEN, identity, sid))
        if not self.present and seen.turns is not None:
            self._record_turns(seen.turns)

    def _record_turns(self, turns: int) -> None:
        """A caller who has spoken since the last check was there, even if no check found them."""
        known, self._turns = self._turns, turns
        if known is None:
            # Turns of a caller known by a webhook may be old.
            known = turns if self.ever_came else 0
        if turns > known:
            self._relevant.heard(workflow.now())
            self._update_status()
            self._session.tracker.log(
                "the caller has spoken, although nobody was found in the room"
            )


def _change(change: ParticipantChange, identity: str, sid: str) -> ParticipantChanged:
    """What a check found, as a webhook would tell it."""
    return ParticipantChanged(
        event_id=f"seen:{sid}",
        change=change,
        identity=identity,
        sid=sid,
        kind=ParticipantKind.CALLER,
    )
