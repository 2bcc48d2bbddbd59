"""What an agent knows of the conversation before it, also if some of it is still on its way."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent.call import history
from agent.call.history import History, read_history
from agent.callbacks import CallbackClient
from domain.sessions.dispatch_metadata import EverlineMetadata
from tests.agent.samples import append, new_entry, target, turn, turn_record
from tests.fakes.callback_api import CallbackApi


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi(earlier_turns=[turn(0)]) as server:
        yield server


async def read(api: CallbackApi, spool: Path, undelivered_turn: str | None) -> History:
    everline = EverlineMetadata(
        org="local",
        attempt=2,
        callback_url=api.url,
        callback_token=api.token,
        undelivered_turn=undelivered_turn,
    )
    async with CallbackClient(api.url, api.token) as client:
        return await read_history(client, "s1", everline, spool, time.monotonic() + 60)


async def test_a_turn_that_another_agent_server_still_delivers_is_waited_for(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DELIVERY_SECONDS", 60.0)
    reading = asyncio.create_task(read(api, tmp_path, "item_1_2"))
    await api.wait_for(lambda: len(api.of("turns_so_far")) >= 2)
    # In whatever order: the last of them is the one that counts.
    api.earlier_turns = [turn(2), turn(0), turn(1)]

    assert await reading == History([turn(0), turn(1), turn(2)])


async def test_an_agent_server_that_is_dead_is_not_waited_for_long(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DELIVERY_SECONDS", 0.5)

    assert await read(api, tmp_path, "item_1_2") == History([turn(0)], complete=False)


async def test_an_outage_while_waiting_costs_no_more_than_the_wait(
    api: CallbackApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DELIVERY_SECONDS", 2.0)
    reading = asyncio.create_task(read(api, tmp_path, "item_1_2"))
    await api.wait_for(lambda: bool(api.of("turns_so_far")))
    api.outage = 503

    assert await reading == History([turn(0)], complete=False)


@pytest.mark.parametrize("undelivered", [None, "item_1_0"])
async def test_nothing_is_waited_for_if_all_is_there(
    api: CallbackApi, tmp_path: Path, undelivered: str | None
) -> None:
    assert await read(api, tmp_path, undelivered) == History([turn(0)])
    assert len(api.of("turns_so_far")) == 1


async def test_a_turn_in_the_own_spool_is_not_waited_for(api: CallbackApi, tmp_path: Path) -> None:
    append(new_entry(tmp_path, target(api)), turn_record(1))

    assert await read(api, tmp_path, "item_1_1") == History([turn(0), turn(1)])
