"""The clock of an HTTP server is read from its answers, and a difference is logged once."""

import asyncio
from email.utils import formatdate

import httpx
import pytest
from structlog.testing import capture_logs

from adapters.http import clocks
from adapters.http.clocks import HttpClock, ahead_by, date_of, watched_clocks
from adapters.http.retry_after import retry_after
from adapters.http.webhook_sender import HttpWebhookSender
from adapters.livekit.errors import LiveKitMisconfigured
from adapters.livekit.rooms import LiveKitRooms
from adapters.summarisers import openai_errors
from domain.clocks import CLOCK_CURE
from domain.errors import Unavailable
from tests.fakes.skewed_server import skewed_server
from tests.servers import free_port
from tests.waiting import eventually


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
@pytest.mark.parametrize("status", [200, 401, 503])
async def test_any_answer_tells_the_time(ahead: float, status: int) -> None:
    async with skewed_server(ahead, status=status) as url:
        measured = await HttpClock(url).ahead()

    assert measured == pytest.approx(ahead, abs=5)


async def test_without_an_answer_nothing_is_known() -> None:
    assert await HttpClock(f"http://127.0.0.1:{free_port()}").ahead() is None
    assert await HttpClock("nonsense").ahead() is None
    for date in ("", "soon", "Thu, 99 Jan 2026 00:00:00 GMT"):
        assert ahead_by(httpx.Response(200, headers={"date": date}), 0.0) is None


async def test_a_difference_is_logged_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clocks, "WATCH_SECONDS", 0.01)

    class Drifting:
        ahead_now: float | None = 600.0
        asked = 0

        async def ahead(self) -> float | None:
            self.asked += 1
            return self.ahead_now

    drifting = Drifting()

    async def asked_again() -> None:
        before = drifting.asked
        await eventually(lambda: drifting.asked > before + 3)

    with capture_logs() as logged:
        async with watched_clocks({"LiveKit": drifting}):
            await asked_again()
            drifting.ahead_now = None
            await asked_again()
            drifting.ahead_now = 1.0
            await asked_again()

    assert [(one["event"], one.get("reason")) for one in logged] == [
        ("clock differs", "LiveKit's clock is 10 min ahead of this machine's"),
        ("clock agrees again", None),
    ]
    assert logged[0]["cure"] == CLOCK_CURE


REFUSED = '{"code": "unauthenticated", "msg": "invalid token"}'


@pytest.mark.parametrize("status", [401, 403])
async def test_livekit_that_is_behind_refuses_tokens_because_of_the_clock(status: int) -> None:
    async with (
        skewed_server(-10_800.0, status=status, body=REFUSED) as url,
        LiveKitRooms(url, "key", "s" * 40) as rooms,
    ):
        with pytest.raises(Unavailable, match="LiveKit's clock is 3 h behind") as refused:
            await rooms.list_rooms(["any"])

    assert refused.value.cure == CLOCK_CURE


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
async def test_a_token_that_the_clock_does_not_explain_has_a_wrong_key(ahead: float) -> None:
    async with (
        skewed_server(ahead, status=401, body=REFUSED) as url,
        LiveKitRooms(url, "key", "s" * 40) as rooms,
    ):
        with pytest.raises(LiveKitMisconfigured, match="key or secret"):
            await rooms.list_rooms(["any"])


async def test_a_receiver_that_refuses_signatures_is_compared() -> None:
    async with HttpWebhookSender(allow_private=True) as sender:
        for ahead, told in ((-600.0, True), (0.0, False)):
            async with skewed_server(ahead, status=401) as url:
                answer = await sender.send(url, {}, b"{}")
            assert (answer.reason or "").startswith("the receiver answered 401")
            assert ("the receiver's clock is 10 min behind" in (answer.reason or "")) is told


def test_a_time_to_retry_at_is_compared_with_the_servers_own_time() -> None:
    now = 1_900_000_000.0
    headers = {
        "date": formatdate(now, usegmt=True),
        "retry-after": formatdate(now + 30, usegmt=True),
    }
    response = httpx.Response(503, headers=headers)

    pause = retry_after(headers["retry-after"], date_of(response))
    assert pause == pytest.approx(30, abs=1)
    seconds = openai_errors._retry_after(response)  # pyright: ignore[reportPrivateUsage]
    assert seconds == pytest.approx(30, abs=1)


async def test_measurements_are_shared() -> None:
    async with skewed_server(600.0) as url:
        clock = HttpClock(url)
        first, second = await asyncio.gather(clock.ahead(), clock.ahead())

    assert first == second, "one request for both"
    assert await clock.ahead() == first, "and remembered"
