"""A full transcript over HTTP: the error names the limit and its setting; a report is taken."""

import time
from collections.abc import AsyncGenerator

import pytest
from httpx import Response

from adapters.mongo import MongoArchive
from adapters.mongo.client import connect
from agent.callbacks import Refused, read_answer
from api.dependencies import Archive
from domain.ids import SessionKey
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.sessions.messages import ReadyAnswer
from domain.transcripts.transcript import MAX_REPORTS, TranscriptLimits
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import turn
from tests.api.archives import PastCalls
from tests.api.door import JSON, is_problem
from tests.api.house import House, Tenant, unique
from tests.servers import MongoServer
from tests.workflows.studio import CALLBACK_SECRET


@pytest.fixture
async def key(house: House) -> SessionKey:
    """A closed session with one turn."""
    return await PastCalls(house.archive, unique("acme")).call("a", "caller: Hello")


@pytest.fixture
async def tenant(
    house: House, mongo_server: MongoServer, key: SessionKey
) -> AsyncGenerator[Tenant]:
    """The session's org, where a transcript may have three turns."""
    client = connect(mongo_server.uri)
    limited = MongoArchive(client, house.database.name, TranscriptLimits(turns=3))
    archive = Archive(limited.sessions, Transcripts(limited.transcripts), limited.summaries)
    async with house.open(archive=archive) as app:
        yield Tenant(app, await house.key(key.org))
    client.close()


def as_agent(key: SessionKey) -> dict[str, str]:
    expires = int(time.time()) + 60
    claims = CallbackClaims(org=key.org, session_id=key.session_id, attempt=1, expires=expires)
    return {"Authorization": f"Bearer {callback_token.mint(CALLBACK_SECRET, claims)}"}


def said(*numbers: int) -> JSON:
    return {"turns": [turn(number).model_dump(mode="json") for number in numbers]}


async def test_a_client_is_told_the_limit_and_how_to_raise_it(tenant: Tenant) -> None:
    path = "/v1/sessions/a/turns"

    answer = await tenant.http.post(path, json=said(1, 2, 3, 4))

    assert is_problem(answer, 409, "transcript_full")
    assert "turns that were not stored: 2; a session may have up to 3" in answer.json()["detail"]
    [fault] = answer.json()["errors"]
    assert fault["field"] == "turns"
    assert "EVERLINE_MAX_TURNS_PER_SESSION" in fault["cure"]
    stored = (await tenant.http.get(path)).json()
    assert [one["seq"] for one in stored["turns"]] == [0, 1, 2]
    assert stored["transcript"]["turn_count"] == 3


async def test_an_agents_report_is_stored_and_its_further_turns_are_counted(
    tenant: Tenant, key: SessionKey
) -> None:
    report = {"report_version": 2, "attempt": 1, "foreign": False, **said(0, 1, 2, 3, 4)}

    answer = await tenant.http.post("/session/observability", json=report, headers=as_agent(key))

    assert answer.json() == {"sessionId": "a", "stored": True}
    header = (await tenant.http.get("/v1/sessions/a/turns")).json()["transcript"]
    assert (header["turn_count"], header["turns_left_out"]) == (3, 2)


async def test_ever_new_reports_are_refused_for_good_so_that_no_spool_repeats_them(
    tenant: Tenant, key: SessionKey
) -> None:
    async def send(number: int) -> Response:
        known = {"report_version": 2, "attempt": 1, "foreign": False}
        report = {**known, "error": f"fault {number}"}
        return await tenant.http.post("/session/observability", json=report, headers=as_agent(key))

    # The call has one already.
    for number in range(MAX_REPORTS - 1):
        assert (await send(number)).status_code == 200
    refused = await send(MAX_REPORTS)

    assert is_problem(refused, 409, "too_many_reports")
    assert "repeat it unchanged" in refused.json()["errors"][0]["cure"]
    with pytest.raises(Refused) as final:
        read_answer(ReadyAnswer, refused)
    assert not final.value.concerns_all, "the rest of the spool's entry is still delivered"
    assert (await send(0)).json() == {"sessionId": "a", "stored": True}
