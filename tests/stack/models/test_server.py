from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx

from tests.servers import free_port
from tests.stack.models.serving import ModelsServer, start_models

LONG_TEXT = "This sentence is here to keep the voice busy for a while. " * 5


def test_health_says_503_until_the_models_are_loaded(models_server: ModelsServer) -> None:
    assert models_server.health_before_ready == {503}
    assert httpx.get(f"{models_server.url}/health", timeout=60).json()["status"] == "ok"


def test_the_real_models_are_listed(models_server: ModelsServer) -> None:
    models = httpx.get(f"{models_server.openai_url}/models", timeout=60).json()["data"]
    assert [model["id"] for model in models] == [
        "tiny.en",
        "en_US-joe-medium",
        "everline-table-talk",
    ]


def test_an_unknown_path_answers_in_the_same_shape(models_server: ModelsServer) -> None:
    answer = httpx.get(f"{models_server.openai_url}/embeddings", timeout=60)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Not Found")


def _speech(text: str) -> dict[str, object]:
    return {"input": text, "model": "any", "voice": "any", "response_format": "pcm"}


async def test_too_many_at_once_are_told_to_come_back(models_server: ModelsServer) -> None:
    url = f"{models_server.openai_url}/audio/speech"
    async with httpx.AsyncClient(timeout=100) as client:
        answers = await asyncio.gather(
            *(client.post(url, json=_speech(LONG_TEXT)) for _ in range(6))
        )
        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(served) + len(refused) == 6
        assert served
        assert refused
        for answer in refused:
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["code"] == "overloaded"
        assert (await client.post(url, json=_speech("Now there is room."))).status_code == 200


async def test_a_client_that_leaves_gives_its_place_free(models_server: ModelsServer) -> None:
    url = f"{models_server.openai_url}/audio/speech"
    async with httpx.AsyncClient(timeout=100) as client:
        for _ in range(2):
            async with client.stream("POST", url, json=_speech(LONG_TEXT)) as answer:
                assert answer.status_code == 200
                await anext(answer.aiter_bytes())
        deadline = time.monotonic() + 60
        statuses: list[int] = []
        while statuses != [200, 200] and time.monotonic() < deadline:
            # Both places have to be free: two at once are served only then.
            both = await asyncio.gather(
                *(client.post(url, json=_speech("Is there room?")) for _ in range(2))
            )
            statuses = [answer.status_code for answer in both]
        assert statuses == [200, 200]


def test_a_model_that_is_not_there_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "models.log"
    process = start_models(
        log,
        EVERLINE_MODELS_PORT=str(free_port()),
        EVERLINE_MODELS_WHISPER_MODEL="/no/such/folder",
    )
    assert process.wait(timeout=110) == 1
    assert "EVERLINE_MODELS_WHISPER_MODEL: '/no/such/folder' cannot be loaded" in log.read_text()


def test_bad_settings_are_named(tmp_path: Path) -> None:
    log = tmp_path / "models.log"
    process = start_models(
        log, EVERLINE_MODELS_PORT="0", EVERLINE_MODELS_VOICE="/no/such/voice.onnx"
    )
    assert process.wait(timeout=110) == 2
    assert "EVERLINE_MODELS_PORT: " in log.read_text()
    assert "EVERLINE_MODELS_VOICE: " in log.read_text()
