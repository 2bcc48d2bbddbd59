"""The spool against a real HTTP server: nothing is lost, nothing changes its order."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import structlog

from agent.backoff import Backoff
from agent.callbacks import CallbackClient
from agent.spool import Drainer, Outbox, SpoolEntry, Target, spool_id
from agent.spool.disk import DISK_SECONDS, Disk, DiskHangs
from agent.spool.drainer import REJECTED_DAYS, prune_rejected
from agent.spool.record import Pending
from tests.agent.samples import append, new_entry, report_record, target, turn_record
from tests.fakes.callback_api import CallbackApi
from tests.fakes.hanging_disk import hanging
from tests.waiting import eventually


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi() as server:
        yield server


def delivered_seqs(api: CallbackApi) -> list[int]:
    """Every turn that the API accepted, as often as it was sent."""
    accepted = [request for request in api.of("turns") if request.status == 200]
    return [turn["seq"] for request in accepted for turn in request.body["turns"]]


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def abandoned(spool: Path, whom: Target, seqs: range) -> SpoolEntry:
    """An entry with turns whose job is gone."""
    entry = new_entry(spool, whom)
    for seq in seqs:
        append(entry, turn_record(seq))
    entry.release()
    return entry


async def test_turns_and_report_arrive_in_order_and_leave_nothing_behind(
    api: CallbackApi, tmp_path: Path
) -> None:
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        for seq in range(5):
            outbox.put(turn_record(seq))
        outbox.put(report_record(end_reason="agent_ended"))
        assert await outbox.close(grace=30)

    assert delivered_seqs(api) == [0, 1, 2, 3, 4]
    assert [request.route for request in api.received][-1] == "report"
    assert len(api.reports) == 1
    assert names(tmp_path) == []


async def test_an_outage_delays_the_turns_and_keeps_their_order(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.outage = 503
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        for seq in range(4):
            outbox.put(turn_record(seq))
        await api.wait_for(lambda: len(api.of("turns")) >= 2)
        outbox.put(turn_record(4))
        api.outage = None
        assert await outbox.close(grace=20)

    assert delivered_seqs(api) == [0, 1, 2, 3, 4]


async def test_what_an_outage_outlasts_is_left_to_the_drainer(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.outage = 503
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        outbox.put(turn_record(0))
        outbox.put(report_record())
        assert not await outbox.close(grace=0.3)
    api.outage = None
    await Drainer(tmp_path).once()

    assert set(delivered_seqs(api)) == {0}
    # What was on the way when the outbox closed may have come to an API that is back.
    assert api.reports[-1] == report_record().body
    assert names(tmp_path) == []


async def test_a_report_is_announced_although_the_turns_before_it_are_not_taken(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While MongoDB is away the API signals a report that it answers 503: the call has to end."""
    pauses = iter([600.0])

    def pause(_: Backoff) -> float:
        # Nothing but the close ends the first one.
        return next(pauses, 0.2)

    monkeypatch.setattr(Backoff, "next_pause", pause)
    api.outage = 503
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        outbox.put(turn_record(0))
        await api.wait_for(lambda: bool(api.of("turns")))
        outbox.put(report_record(end_reason="end_requested"))
        closing = asyncio.create_task(outbox.close(grace=60))
        await api.wait_for(lambda: bool(api.of("report")))
        assert api.of("report")[0].body["end_reason"] == "end_requested"
        assert api.reports == []
        api.outage = None
        assert await closing

    assert delivered_seqs(api) == [0]
    assert len(api.reports) == 1
    assert names(tmp_path) == []


async def test_records_are_on_the_disk_before_they_are_sent(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.outage = 503
    entry = new_entry(tmp_path, target(api))
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(entry, client)
        outbox.put(turn_record(0))
        await api.wait_for(lambda: bool(api.of("turns")))
        assert [pending.record for pending in entry.pending()] == [turn_record(0)]
        await outbox.close(grace=0)


async def test_a_line_that_a_kill_cut_short_is_left_out(api: CallbackApi, tmp_path: Path) -> None:
    entry = abandoned(tmp_path, target(api), range(3))
    with (entry.path / "records.jsonl").open("ab") as records:
        records.write(b'{"kind": "turn", "body": {"item_id": "item_1_3", "te')
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0, 1, 2]
    assert names(tmp_path) == []


async def test_a_line_that_is_not_readable_does_not_stop_the_others(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = abandoned(tmp_path, target(api), range(1))
    with (entry.path / "records.jsonl").open("ab") as records:
        records.write(b"\x00\x00\x00\n")
    again = SpoolEntry.adopt(entry.path)
    assert again is not None
    append(again, turn_record(1))
    again.release()
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0, 1]


async def test_records_of_a_newer_version_are_set_aside_as_they_are(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = abandoned(tmp_path, target(api), range(1))
    newer = b'{"kind":"mood","body":{"text":"glad"},"from":"later"}\n'
    with (entry.path / "records.jsonl").open("ab") as records:
        records.write(newer)
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0]
    kept = tmp_path / "rejected" / entry.path.name / "unreadable.jsonl"
    assert kept.read_bytes() == newer
    assert not entry.path.exists()


async def test_what_json_cannot_hold_blocks_no_record_behind_it(
    api: CallbackApi, tmp_path: Path
) -> None:
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        outbox.put(turn_record(0))
        outbox.put(report_record(sdk_report={"half \ud83d": ["\ud800", float("nan")]}))
        assert await outbox.close(grace=30)

    assert delivered_seqs(api) == [0]
    assert [report["sdk_report"] for report in api.reports] == [{"half ?": ["?", None]}]


@pytest.mark.parametrize("cursor", ["", "-3", "nonsense", "999999"])
async def test_a_cursor_that_cannot_be_right_skips_nothing(
    api: CallbackApi, tmp_path: Path, cursor: str
) -> None:
    entry = abandoned(tmp_path, target(api), range(2))
    (entry.path / "cursor").write_text(cursor)
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0, 1]


def take_no_more(entry: SpoolEntry) -> None:
    """Let every write of the entry's records fail, as on a full disk."""
    (entry.path / "records.jsonl").symlink_to(entry.path / "no" / "such" / "folder")


async def test_what_a_full_disk_does_not_take_is_delivered_in_order_all_the_same(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = new_entry(tmp_path, target(api))
    take_no_more(entry)
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(entry, client)
        for seq in range(3):
            outbox.put(turn_record(seq))
        outbox.put(report_record(end_reason="agent_ended"))
        assert await outbox.close(grace=30)

    assert delivered_seqs(api) == [0, 1, 2]
    assert [request.route for request in api.received][-1] == "report"
    assert names(tmp_path) == []


async def test_what_a_full_disk_did_not_take_goes_there_as_soon_as_it_does(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.outage = 503
    entry = new_entry(tmp_path, target(api))
    take_no_more(entry)
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(entry, client)
        outbox.put(turn_record(0))
        await api.wait_for(lambda: bool(api.of("turns")))
        (entry.path / "records.jsonl").unlink()
        outbox.put(turn_record(1))
        assert not await outbox.close(grace=0.1)
    api.outage = None
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0, 1]


async def test_what_neither_disk_nor_api_takes_is_counted_in_the_log(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.outage = 503
    entry = new_entry(tmp_path, target(api))
    take_no_more(entry)
    with structlog.testing.capture_logs() as logged:
        async with CallbackClient(api.url, api.token) as client:
            outbox = Outbox(entry, client)
            outbox.put(turn_record(0))
            outbox.put(report_record())
            assert not await outbox.close(grace=0.1)

    assert [line["records"] for line in logged if line["event"] == "spool_records_lost"] == [2]


async def test_a_call_goes_on_where_there_is_no_spool_at_all(
    api: CallbackApi, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file")
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(in_the_way, target(api)), client)
        outbox.put(turn_record(0))
        outbox.put(report_record())
        assert await outbox.close(grace=30)

    assert delivered_seqs(api) == [0]
    assert len(api.reports) == 1
    assert spool_id(in_the_way) is None


async def test_an_entry_is_born_when_the_disk_takes_it_again(
    api: CallbackApi, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file")
    entry = new_entry(in_the_way, target(api))
    records = [Pending(turn_record(0))]
    entry.save(records)
    in_the_way.unlink()
    records.append(Pending(turn_record(1)))
    entry.save(records)
    entry.release()
    await Drainer(in_the_way).once()

    assert delivered_seqs(api) == [0, 1]


async def test_the_drainer_goes_round_what_it_cannot_use_and_leaves_alone_what_is_not_its_own(
    api: CallbackApi, tmp_path: Path
) -> None:
    """A volume has a `lost+found` that only root may enter; a disk has bad sectors."""
    unusable = abandoned(tmp_path, target(api, job_id="AJ_bad"), range(1))
    (unusable.path / "lock").unlink()
    (unusable.path / "lock").mkdir()
    (tmp_path / "lost+found").mkdir()
    abandoned(tmp_path, target(api, job_id="AJ_good"), range(5, 6))
    drainer = Drainer(tmp_path)
    await drainer.once()

    assert delivered_seqs(api) == [5]
    assert names(tmp_path) == sorted([unusable.path.name, "lost+found"])
    assert names(tmp_path / "lost+found") == []

    (unusable.path / "lock").rmdir()
    await drainer.once(pausing=True)
    assert delivered_seqs(api) == [5, 0]


async def test_one_entry_that_nobody_foresaw_keeps_no_other_from_its_delivery(
    api: CallbackApi, tmp_path: Path
) -> None:
    bad = target(api, job_id="AJ_bad").model_copy(update={"callback_url": "http://nowhere:port"})
    abandoned(tmp_path, bad, range(1))
    abandoned(tmp_path, target(api, job_id="AJ_good"), range(5, 6))
    with structlog.testing.capture_logs() as logged:
        await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [5]
    assert names(tmp_path) == [bad.entry_name()]
    assert [line["event"] for line in logged if "exc_info" in line] == ["spool_entry_failed"]


async def test_an_answer_that_cannot_be_unpacked_delays_job_and_drainer_alike(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 0.1)
    api.garbled = True
    abandoned(tmp_path, target(api, job_id="AJ_gone"), range(5, 6))
    draining = asyncio.create_task(Drainer(tmp_path).run())
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        outbox.put(turn_record(0))
        await api.wait_for(lambda: len(api.of("turns")) >= 6)
        api.garbled = False
        assert await outbox.close(grace=30)
    await eventually(lambda: names(tmp_path) == [], 30)
    draining.cancel()

    assert set(delivered_seqs(api)) == {0, 5}


async def test_what_was_delivered_is_not_sent_again(api: CallbackApi, tmp_path: Path) -> None:
    entry = new_entry(tmp_path, target(api))
    for seq in range(3):
        append(entry, turn_record(seq))
    entry.advance(entry.pending()[:2])
    entry.release()
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [2]


async def test_an_entry_of_a_living_process_is_left_alone_until_it_dies(
    api: CallbackApi, tmp_path: Path
) -> None:
    owner = """
import sys, time
from pathlib import Path
from agent.spool import Target
from tests.agent.samples import append, new_entry, turn_record
entry = new_entry(Path(sys.argv[1]), Target.model_validate_json(sys.argv[2]))
append(entry, turn_record(0))
print("ready", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        [sys.executable, "-c", owner, str(tmp_path), target(api).model_dump_json()],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        drainer = Drainer(tmp_path)
        await drainer.once()
        assert api.received == []

        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        await drainer.once()
        assert delivered_seqs(api) == [0]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def test_two_drainers_on_one_directory_deliver_each_record_once(
    api: CallbackApi, tmp_path: Path
) -> None:
    for job in range(6):
        abandoned(tmp_path, target(api, job_id=f"AJ_{job}"), range(job * 10, job * 10 + 3))
    await asyncio.gather(Drainer(tmp_path).once(), Drainer(tmp_path).once())

    expected = [job * 10 + seq for job in range(6) for seq in range(3)]
    assert sorted(delivered_seqs(api)) == expected


async def test_a_refused_turn_is_set_aside_and_its_neighbours_arrive(
    api: CallbackApi, tmp_path: Path
) -> None:
    api.refuse_turn = lambda turn: turn["seq"] == 1
    entry = abandoned(tmp_path, target(api), range(3))
    await Drainer(tmp_path).once()

    assert delivered_seqs(api) == [0, 2]
    kept = tmp_path / "rejected" / entry.path.name / "records.jsonl"
    line = json.loads(kept.read_text())
    assert line["body"]["seq"] == 1
    assert "422" in line["reason"]
    assert not entry.path.exists()


async def test_a_refused_token_sets_the_whole_entry_aside_without_the_token(
    api: CallbackApi, tmp_path: Path
) -> None:
    whom = target(api, token="evcb_of_another_session")
    async with CallbackClient(whom.callback_url, whom.callback_token) as client:
        outbox = Outbox(new_entry(tmp_path, whom), client)
        outbox.put(turn_record(0))
        await api.wait_for(lambda: bool(api.of("turns")))
        await eventually(lambda: (tmp_path / "rejected").exists(), 30)
        outbox.put(report_record())
        assert await outbox.close(grace=30)

    kept = tmp_path / "rejected" / whom.entry_name()
    lines = [json.loads(line) for line in (kept / "records.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["turn", "report"]
    assert all("401" in line["reason"] for line in lines)
    assert not any(whom.callback_token in file.read_text() for file in kept.iterdir())
    assert names(tmp_path) == ["rejected"]
    assert len(api.received) == 1


async def test_an_entry_that_is_being_removed_is_nobody_elses(
    api: CallbackApi, tmp_path: Path
) -> None:
    """A drainer that found the entry a moment before must not take its remains for a fault."""
    for n in range(200):
        entry = new_entry(tmp_path, target(api, job_id=f"AJ_{n}"))
        append(entry, turn_record(0))
        path = entry.path
        removal = asyncio.create_task(asyncio.to_thread(entry.remove))
        while path.exists():
            assert await asyncio.to_thread(SpoolEntry.adopt, path) is None
        await removal

    assert names(tmp_path) == []


async def test_an_entry_without_a_readable_target_is_set_aside(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = abandoned(tmp_path, target(api), range(1))
    (entry.path / "target.json").write_text('{"callback_url": ')
    drainer = Drainer(tmp_path)
    await drainer.once()

    kept = tmp_path / "rejected" / entry.path.name
    assert "target.json" in (kept / "reason.txt").read_text()
    assert (kept / "records.jsonl").exists()


async def test_after_a_failure_an_entry_rests(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the two takes on any machine.
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 600.0)
    monkeypatch.setattr("agent.spool.drainer.LONGEST_PAUSE", 600.0)
    api.outage = 503
    abandoned(tmp_path, target(api), range(1))
    drainer = Drainer(tmp_path)
    await drainer.once()
    await drainer.once()

    assert len(api.received) == 1


async def test_only_its_owner_reads_an_entry(api: CallbackApi, tmp_path: Path) -> None:
    entry = abandoned(tmp_path / "spool", target(api), range(1))

    for path in [tmp_path / "spool", entry.path, *entry.path.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_refused_entries_are_kept_for_days_and_not_forever(tmp_path: Path) -> None:
    for name, days in [("old", REJECTED_DAYS + 1), ("new", 1)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").write_text("{}\n")
        changed = time.time() - days * 86_400
        os.utime(tmp_path / name, (changed, changed))
    prune_rejected(tmp_path, time.time())

    assert names(tmp_path) == ["new"]


async def test_a_disk_that_hangs_holds_up_neither_the_delivery_nor_the_end(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = new_entry(tmp_path, target(api))
    with hanging(entry.path / "records.jsonl"):
        async with CallbackClient(api.url, api.token) as client:
            outbox = Outbox(entry, client)
            outbox.put(turn_record(0))
            outbox.put(report_record(end_reason="agent_ended"))
            closing = asyncio.create_task(outbox.close(grace=10))
            await api.wait_for(lambda: bool(api.reports))
            # The disk is asked no more than the few times that the end needs.
            assert not await asyncio.wait_for(closing, 60)

    assert delivered_seqs(api) == [0]
    assert api.reports == [report_record(end_reason="agent_ended").body]


async def test_records_of_a_disk_that_hung_for_a_while_are_delivered_from_it_afterwards(
    api: CallbackApi, tmp_path: Path
) -> None:
    entry = new_entry(tmp_path, target(api))
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(entry, client)
        with hanging(entry.path / "records.jsonl"):
            outbox.put(turn_record(0))
            await api.wait_for(lambda: bool(api.of("turns")))
        outbox.put(turn_record(1))
        outbox.put(report_record())
        assert await outbox.close(grace=60)

    assert sorted(set(delivered_seqs(api))) == [0, 1]
    assert names(tmp_path) == []


async def test_a_drainer_keeps_what_it_works_on_for_as_long_as_the_disk_hangs(
    api: CallbackApi, tmp_path: Path
) -> None:
    """Whoever took it over meanwhile would work on it beside a thread of this one."""
    entry = abandoned(tmp_path, target(api, token="evcb_of_another_session"), range(1))
    shelf = tmp_path / "rejected" / entry.path.name
    shelf.mkdir(parents=True)
    with hanging(shelf / "records.jsonl"):
        draining = asyncio.create_task(Drainer(tmp_path).once())
        await api.wait_for(lambda: bool(api.of("turns")))
        # A call would ask such a disk twice before it goes on without it.
        done, _ = await asyncio.wait({draining}, timeout=3 * DISK_SECONDS)
        assert not done
        assert SpoolEntry.adopt(entry.path) is None
    await asyncio.wait_for(draining, 60)

    assert len(api.received) == 1
    assert names(tmp_path) == ["rejected"]


async def test_nobody_waits_longer_for_a_disk_that_hangs_and_one_thread_does(
    tmp_path: Path,
) -> None:
    disk, file = Disk(0.1), tmp_path / "file"
    asked: list[int] = []

    def write() -> int:
        asked.append(1)
        os.close(os.open(file, os.O_WRONLY))
        return len(asked)

    with hanging(file):
        for _ in range(3):
            with pytest.raises(DiskHangs):
                await disk.ask(write)
    assert len(asked) == 1

    async def back() -> bool:
        try:
            return await disk.ask(lambda: True)
        except DiskHangs:
            return False

    await eventually(back, 60)


async def test_a_hurried_drainer_does_not_wait_for_the_end_of_a_pause(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 600.0)
    abandoned(tmp_path, target(api), range(2))
    api.outage = 503
    drainer = Drainer(tmp_path)
    running = asyncio.create_task(drainer.run())
    try:
        await api.wait_for(lambda: len(api.received) > 0)
        api.outage = None
        drainer.hurry()
        await api.wait_for(lambda: delivered_seqs(api) == [0, 1])
    finally:
        running.cancel()
