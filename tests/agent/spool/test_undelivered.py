"""What waits in the spool is known to the next agent of the call."""

from collections import deque
from pathlib import Path

import pytest

from agent.callbacks import CallbackClient
from agent.spool import Disk, Record, RecordKind, undelivered_turns
from agent.spool.delivery import Delivery
from tests.agent.samples import append, new_entry, report_record, target, turn, turn_record
from tests.fakes.callback_api import CallbackApi


def read(spool: Path, org: str = "local", session_id: str = "s1") -> list[str]:
    return [each.item_id for each in undelivered_turns(spool, org, session_id)]


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "left behind"])
def test_the_turns_of_all_jobs_of_the_session_are_read(tmp_path: Path, owned: bool) -> None:
    api = CallbackApi()
    first, second = (new_entry(tmp_path, target(api, job_id=job)) for job in ("AJ_1", "AJ_2"))
    append(first, turn_record(0))
    append(second, turn_record(1))
    append(second, report_record(turns=[turn(2).model_dump(mode="json")]))
    other = new_entry(tmp_path, target(api).model_copy(update={"session_id": "s2"}))
    append(other, turn_record(3))
    if not owned:
        for entry in (first, second, other):
            entry.release()

    assert sorted(read(tmp_path)) == ["item_1_0", "item_1_1", "item_1_2"]
    assert read(tmp_path, session_id="s2") == ["item_1_3"]
    assert read(tmp_path, org="acme") == []


async def test_what_is_delivered_is_not_read(tmp_path: Path) -> None:
    async with CallbackApi() as api:
        entry = new_entry(tmp_path, target(api))
        for seq in (0, 1):
            append(entry, turn_record(seq))
        async with CallbackClient(api.url, api.token) as client:
            await Delivery(entry, client, deque(entry.pending()), Disk()).deliver_pending()
    append(entry, turn_record(2))

    assert read(tmp_path) == ["item_1_2"]


def test_a_spool_that_is_empty_or_has_unreadable_records_is_no_fault(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == []
    entry = new_entry(tmp_path, target(CallbackApi()))
    append(entry, Record(kind=RecordKind.TURN, body={"item_id": 7}))
    append(entry, report_record(turns="none"))
    append(entry, turn_record(1))
    with (entry.path / "records.jsonl").open("ab") as records:
        records.write(b'{"kind": "turn", "bo')

    assert read(tmp_path) == ["item_1_1"]
