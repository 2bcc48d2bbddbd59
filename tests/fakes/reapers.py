"""Reapers of the installation that tests are, which do not wait long before they look again."""

from domain.agents.ports import SignsOfLife
from domain.sessions.ports import Rooms, SessionDirectory, SessionRecords
from domain.transcripts.ports import ArchiveRuns
from services.access.quotas import SlotSweep
from services.sessions.missing_rooms import MissingRooms
from services.sessions.reaper import MOST_RECORDS, Reaper
from tests.fakes.installation import INSTALLATION


def reaper_of(
    rooms: Rooms,
    directory: SessionDirectory,
    archive: SessionRecords | None,
    slots: SlotSweep | None = None,
    *,
    signs: SignsOfLife | None = None,
    records_at_once: int = MOST_RECORDS,
    archives: ArchiveRuns | None = None,
) -> Reaper:
    """A reaper over these."""
    missing = MissingRooms(rooms, INSTALLATION, signs, pause=0.01)
    return Reaper(
        rooms, INSTALLATION, missing, directory, archive, slots, records_at_once, archives
    )
