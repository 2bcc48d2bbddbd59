"""The callback client against a real HTTP server: what is final and what is tried again."""

import time
from collections.abc import AsyncGenerator

import pytest

from agent.call.claim import READY_SECONDS, retry_until
from agent.callbacks import CallbackClient, Refused, Unavailable
from domain.sessions.messages import AgentFailed, AgentReady
from tests.agent.samples import turn
from tests.fakes.callback_api import CallbackApi

CLAIM = AgentReady(attempt=1, job_id="AJ_1", identity="agent-AJ_1")


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi() as server:
        yield server


@pytest.fixture
async def client(api: CallbackApi) -> AsyncGenerator[CallbackClient]:
    async with CallbackClient(api.url + "/", api.token) as callbacks:
        yield callbacks


async def test_a_claim_says_who_claims_what(api: CallbackApi, client: CallbackClient) -> None:
    answer = await client.ready(CLAIM)

    assert answer.accepted
    assert answer.remaining == 600
    assert AgentReady.model_validate(api.of("ready")[0].body) == CLAIM


async def test_a_conflict_is_a_refused_claim_with_its_reason(
    api: CallbackApi, client: CallbackClient
) -> None:
    api.ready_status, api.ready_answer = 409, {"detail": "attempt 2 is the current one"}
    answer = await client.ready(CLAIM)

    assert not answer.accepted
    assert answer.reason == "attempt 2 is the current one"


async def test_a_claim_is_repeated_until_the_api_is_back(
    api: CallbackApi, client: CallbackClient
) -> None:
    api.outage = 503
    api.restored_after = 3
    deadline = time.monotonic() + READY_SECONDS
    answer = await retry_until(deadline, "ready", lambda: client.ready(CLAIM))

    assert answer.accepted
    assert [request.status for request in api.of("ready")] == [503, 503, 503, 200]


async def test_a_claim_is_given_up_when_its_budget_is_over(
    api: CallbackApi, client: CallbackClient
) -> None:
    api.outage = 503
    started = time.monotonic()
    with pytest.raises(Unavailable, match="503"):
        await retry_until(started + 0.5, "ready", lambda: client.ready(CLAIM))

    # Without its own it would be 20 s.
    assert time.monotonic() - started < 15


async def test_an_api_that_does_not_listen_is_unavailable(api: CallbackApi) -> None:
    async with CallbackClient("http://127.0.0.1:1", api.token) as callbacks:
        with pytest.raises(Unavailable, match="ConnectError"):
            await callbacks.ready(CLAIM)


@pytest.mark.parametrize(
    ("status", "final"), [(401, True), (422, True), (429, False), (500, False)]
)
async def test_which_answers_are_final(
    api: CallbackApi, client: CallbackClient, status: int, final: bool
) -> None:
    api.outage = status
    with pytest.raises(Refused if final else Unavailable, match=str(status)):
        await client.failed(AgentFailed(event_id="e", attempt=1, reason="no key"))


async def test_the_turns_so_far_are_turns(api: CallbackApi, client: CallbackClient) -> None:
    api.earlier_turns = [turn(0), turn(1)]

    assert await client.turns_so_far("s1") == [turn(0), turn(1)]


async def test_the_token_is_in_no_error_message(api: CallbackApi) -> None:
    async with CallbackClient(api.url, "evcb_secret") as callbacks:
        with pytest.raises(Refused) as refused:
            await callbacks.report({"attempt": 1})

    assert "evcb_secret" not in str(refused.value)
    assert refused.value.concerns_all


async def test_an_answer_that_cannot_be_unpacked_is_asked_for_again(
    api: CallbackApi, client: CallbackClient
) -> None:
    api.garbled = True
    with pytest.raises(Unavailable, match="DecodingError"):
        await client.ready(CLAIM)
