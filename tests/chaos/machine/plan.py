"""What happens in a run, and when: a pure function of the seed, the length and the installation."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.machine.faults import (
    ANY_PROTOCOL,
    HTTP_ONLY,
    BreakWire,
    Delivery,
    DisturbWebhooks,
    Fault,
    Flood,
    Freeze,
    FreezeJob,
    FromOutside,
    FullDisk,
    Kill,
    KillJob,
    KillRedis,
    LoseLists,
    Mode,
    Outside,
    Part,
    RepeatCallbacks,
    Restart,
    Wire,
)

WARM_UP = 6.0
"""Seconds until the first fault: some calls are under way by then."""


class Behaviour(StrEnum):
    """What a caller does."""

    TALKS = "talks, then asks for the end"
    HANGS_UP = "talks, then hangs up"
    RELOADS = "loads the page again, talks, then hangs up"
    NEVER_COMES = "never comes"
    ENDS_AT_ONCE = "asks for the end at once"
    STARTS_TWICE = "sends the same start twice, then talks"
    EXTERNAL_AGENT = "talks to an external agent, then hangs up"


@dataclass(frozen=True)
class Step:
    """A fault at its time, in seconds from the beginning."""

    at: float
    fault: Fault


@dataclass(frozen=True)
class Arrival:
    """A caller at its time, in seconds from the beginning."""

    at: float
    number: int
    behaviour: Behaviour
    seconds: float
    """How long the call is to last once the caller has joined."""


@dataclass(frozen=True)
class Plan:
    """A whole run; a longer run with the same seed begins with the same faults."""

    seed: int
    seconds: float
    steps: tuple[Step, ...]
    arrivals: tuple[Arrival, ...]


def make_plan(seed: int, seconds: float, *, redis: bool = False, external: bool = False) -> Plan:
    """The plan of a seed.

    Args:
        seed: chooses everything.
        seconds: how long faults are injected and callers arrive.
        redis: whether LiveKit keeps its lists in a Redis.
        external: whether there is an external agent.
    """
    return Plan(
        seed,
        seconds,
        tuple(_steps(random.Random(f"faults {seed}"), seconds, redis=redis)),
        tuple(_arrivals(random.Random(f"callers {seed}"), seconds, external=external)),
    )


def _steps(chosen: random.Random, seconds: float, *, redis: bool) -> Iterator[Step]:
    deck: list[Callable[[random.Random], Fault]] = []
    at = WARM_UP
    while at < seconds:
        if not deck:
            # Each kind comes once before any comes again.
            deck = [*_DECK, *(_REDIS_DECK if redis else ())]
            chosen.shuffle(deck)
        yield Step(round(at, 2), deck.pop()(chosen))
        at += chosen.uniform(1.0, 4.0)


def _arrivals(chosen: random.Random, seconds: float, *, external: bool) -> Iterator[Arrival]:
    behaviours: Sequence[Behaviour] = [
        one for one in Behaviour if external or one is not Behaviour.EXTERNAL_AGENT
    ]
    deck: list[Behaviour] = []
    at, number = 0.0, 0
    while at < seconds:
        if not deck:
            deck = [*behaviours, Behaviour.TALKS, Behaviour.HANGS_UP]
            chosen.shuffle(deck)
        yield Arrival(round(at, 2), number, deck.pop(), round(chosen.uniform(3, 20), 1))
        at += chosen.uniform(1.5, 5.0)
        number += 1


def _seconds(chosen: random.Random) -> float:
    return round(chosen.uniform(1.5, 9), 1)


def _pick(chosen: random.Random) -> float:
    return round(chosen.random(), 3)


def _wire(*modes: Mode) -> Callable[[random.Random], Fault]:
    def fault(chosen: random.Random) -> Fault:
        return BreakWire(chosen.choice(tuple(Wire)), chosen.choice(modes), _seconds(chosen))

    return fault


def _http(chosen: random.Random) -> Fault:
    wire = chosen.choice((Wire.AGENT_API, Wire.AGENT_API, Wire.API_LIVEKIT, Wire.WORKER_LIVEKIT))
    return BreakWire(wire, chosen.choice(HTTP_ONLY), _seconds(chosen))


def _empty_lists(chosen: random.Random) -> Fault:
    wire = chosen.choice((Wire.API_LIVEKIT, Wire.WORKER_LIVEKIT))
    return BreakWire(wire, Mode.EMPTY_LISTS, _seconds(chosen))


def _freeze(chosen: random.Random) -> Fault:
    return Freeze(chosen.choice(tuple(Part)), _seconds(chosen))


def _webhooks(chosen: random.Random) -> Fault:
    return DisturbWebhooks(chosen.choice(tuple(Delivery)), 2 * _seconds(chosen))


def _kill(part: Part) -> Callable[[random.Random], Fault]:
    return lambda _: Kill(part)


_DECK: Sequence[Callable[[random.Random], Fault]] = (
    *(_kill(part) for part in Part),
    lambda chosen: Restart(chosen.choice(tuple(Part))),
    _freeze,
    _freeze,
    lambda chosen: KillJob(_pick(chosen)),
    lambda chosen: KillJob(_pick(chosen)),
    lambda chosen: FreezeJob(_pick(chosen), _seconds(chosen)),
    *(_wire(mode) for mode in ANY_PROTOCOL),
    _wire(*ANY_PROTOCOL),
    _http,
    _http,
    _empty_lists,
    _webhooks,
    _webhooks,
    lambda chosen: RepeatCallbacks(_pick(chosen)),
    lambda chosen: FromOutside(Outside.CANCEL, _pick(chosen)),
    lambda chosen: FromOutside(Outside.TERMINATE, _pick(chosen)),
    lambda chosen: FromOutside(Outside.RESET, _pick(chosen)),
    lambda chosen: Flood(chosen.randint(6, 14)),
    lambda chosen: FullDisk(_seconds(chosen)),
)
_REDIS_DECK: Sequence[Callable[[random.Random], Fault]] = (
    lambda _: LoseLists(),
    lambda _: KillRedis(),
)
