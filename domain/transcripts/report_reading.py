"""Reading the reports of Everline's agents: a value that cannot be read costs itself alone."""

from copy import deepcopy
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.json_model import cut_off, is_unicode, reader, writable_text
from domain.transcripts.transcript import MAX_REPORT_LEVELS, AgentReport, Role

Fields = dict[str, Any]
Place = tuple[int | str, ...]

MAX_NAMED = 100
"""Values that a report names in `unreadable`; further ones are counted."""
_ROUNDS = 10
_read = reader(AgentReport)


def read_report(body: object) -> AgentReport:
    """The report in a request's body, with the names of unreadable values in `unreadable`.

    An unreadable value is left out. A text is kept: without lone surrogates, and cut if it is too
    long. A turn is kept if it has a text; another item of a list is left out if it lacks a value.

    Raises:
        ValidationError: the body is no object, or has no valid attempt.
    """
    if not isinstance(body, dict):
        return _read(body)
    given = cast(Fields, body)
    fields = {name: cut_off(value, MAX_REPORT_LEVELS) for name, value in given.items()}
    names = [name for name, value in given.items() if fields[name] is not value]
    for number in range(_ROUNDS):
        try:
            report = _read(fields)
        except ValidationError as error:
            fields = fields if number else deepcopy(fields)
            mended = _mend(fields, error.errors(include_input=False, include_url=False))
            if not mended:
                raise
            names += mended
        else:
            return report.model_copy(update={"unreadable": _named(names)}) if names else report
    return _read(fields)


def _named(names: list[str]) -> list[str]:
    every = list(dict.fromkeys(names))
    more = len(every) - MAX_NAMED
    return every if more <= 0 else [*every[:MAX_NAMED], f"and {more} more"]


def _mend(fields: Fields, faults: list[ErrorDetails]) -> list[str]:
    """Mend the unreadable values; if there are none, supply or remove what is incomplete.

    Returns:
        The names of what was mended; empty if the report cannot be read.
    """
    found = {_place(fields, fault["loc"]): fault for fault in faults}
    if () in found or ("attempt",) in found:
        return []
    missing = [fault["loc"] for fault in faults if fault["type"] == "missing"]
    wrong = [(place, fault) for place, fault in found.items() if fault["type"] != "missing"]
    mended = [place for place, fault in wrong if _mend_value(fields, place, fault)]
    if not mended:
        time = _some_time(fields)
        mended = [place for place in missing if _supply(fields, place, time)]
    if not mended:
        # Backwards, so that the numbers of a list's other items stay the same.
        mended = sorted(found, key=lambda place: str(place[-1]).zfill(9), reverse=True)
        for place in mended:
            del _at(fields, place[:-1])[place[-1]]
    return [".".join(map(str, place)) for place in mended]


def _mend_value(fields: Fields, place: Place, fault: ErrorDetails) -> bool:
    """Keep of a text what can be kept, remove another value; False for an item of a list."""
    container, last = _at(fields, place[:-1]), place[-1]
    value = container[last]
    if isinstance(value, str) and not is_unicode(value):
        container[last] = writable_text(value)
    elif isinstance(value, str) and fault["type"] == "string_too_long":
        container[last] = value[: fault.get("ctx", {})["max_length"]]
    elif isinstance(last, str):
        del container[last]
    else:
        return False
    return True


def _supply(fields: Fields, loc: Place, time: Any) -> bool:
    """Give a turn what it lacks, so that its words are kept; False for anything else."""
    if len(loc) != 3 or loc[0] != "turns":
        return False
    turns, number, name = fields["turns"], int(loc[1]), str(loc[2])
    before = turns[number - 1] if number else None
    at = cast(Fields, before).get("created_at") if isinstance(before, dict) else None
    defaults = {
        "attempt": fields["attempt"],
        "role": Role.ASSISTANT.value,
        "item_id": f"item-{number}",
        "created_at": at or time,
    }
    if not defaults.get(name) or not turns[number].get("text"):
        return False
    turns[number][name] = defaults[name]
    return True


def _some_time(fields: Fields) -> Any:
    """The time of the first turn that has one, else that of the report."""
    turns = fields.get("turns")
    every = cast(list[object], turns or [])
    dated = [cast(Fields, one) for one in every if isinstance(one, dict)]
    times = (each.get("created_at") for each in dated)
    return next((at for at in times if at), fields.get("ended_at") or fields.get("started_at"))


def _place(fields: Fields, loc: Place) -> Place:
    """Where the value of a fault is, or the object in which a value is missing."""
    value: Any = fields
    for depth, step in enumerate(loc):
        inside = step in value if isinstance(value, dict) else isinstance(value, list)
        if not inside:
            return loc[:depth]
        value = cast(Any, value)[step]
    return loc


def _at(fields: Fields, place: Place) -> Any:
    value: Any = fields
    for step in place:
        value = value[step]
    return value
