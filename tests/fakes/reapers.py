"""Reapers of the installation that tests are, which do not wait long before they look again."""

from domain.ports import Rooms, SessionDirectory, SessionRecords, SignsOfLife
from services.missing_rooms import MissingRooms
from services.quotas import SlotSweep
from services.reaping import MOST_RECORDS, Reaper
from tests.fakes.installation import INSTALLATION


def reaper_of(
    rooms: Rooms,
    directory: SessionDirectory,
    archive: SessionRecords | None,
    slots: SlotSweep | None = None,
    *,
    signs: SignsOfLife | None = None,
    records_at_once: int = MOST_RECORDS,
) -> Reaper:
    """A reaper over these."""
    missing = MissingRooms(rooms, INSTALLATION, signs, pause=0.01)
    return Reaper(rooms, INSTALLATION, missing, directory, archive, slots, records_at_once)
