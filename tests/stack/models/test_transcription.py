from __future__ import annotations

import io
import math
import wave

import httpx
import numpy as np
import openai
import pytest

from stack.models.sound import encode
from tests.stack.models.lines import SpokenLine, words_of
from tests.stack.models.serving import ModelsServer

RATE = 16_000


def wav_of(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def post(server: ModelsServer, data: bytes, **fields: str) -> httpx.Response:
    return httpx.post(
        f"{server.openai_url}/audio/transcriptions",
        files={"file": ("call.wav", data, "audio/wav")},
        data={"model": "whisper-1"} | fields,
        timeout=60,
    )


def test_every_recorded_line_is_heard_word_for_word(
    models_server: ModelsServer, caller_lines: list[SpokenLine]
) -> None:
    heard = [post(models_server, line.wav).json()["text"] for line in caller_lines]
    assert [words_of(text) for text in heard] == [words_of(line.says) for line in caller_lines]


def test_the_recordings_are_16_bit_mono_at_24_khz(caller_lines: list[SpokenLine]) -> None:
    for line in caller_lines:
        with wave.open(io.BytesIO(line.wav)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)


def test_speech_longer_than_the_short_window_is_heard_to_its_end(
    models_server: ModelsServer, caller_lines: list[SpokenLine]
) -> None:
    pause = bytes(2 * 24_000 * 5)
    pcm = b"".join(line.wav[44:] + pause for line in caller_lines[:4])
    answer = post(models_server, encode(pcm, "wav"), response_format="verbose_json").json()
    assert answer["duration"] > 25
    heard = set(words_of(answer["text"]))
    assert {"table", "seven", "anna", "opening", "hours"} <= heard


@pytest.mark.parametrize("loudness", [0.0, 0.02])
def test_silence_and_noise_are_not_taken_for_words(
    models_server: ModelsServer, loudness: float
) -> None:
    noise = np.random.default_rng(7).normal(0, loudness, 2 * RATE)
    assert post(models_server, wav_of(noise)).json() == {"text": ""}


def test_text_and_verbose_json(models_server: ModelsServer, caller_lines: list[SpokenLine]) -> None:
    line = caller_lines[0]
    plain = post(models_server, line.wav, response_format="text")
    assert plain.headers["content-type"].startswith("text/plain")
    assert words_of(plain.text) == words_of(line.says)

    client = openai.OpenAI(base_url=models_server.openai_url, api_key="any", max_retries=0)
    with client:
        verbose = client.audio.transcriptions.create(
            file=("call.wav", line.wav), model="whisper-1", response_format="verbose_json"
        )
    assert verbose.language == "en"
    assert math.isclose(verbose.duration, len(line.wav) / 48_000, abs_tol=0.1)
    assert verbose.segments is not None
    assert verbose.segments[0].text == verbose.text


@pytest.mark.parametrize(
    ("data", "fields", "param"),
    [
        (b"this is no sound", {}, "file"),
        (b"", {}, "file"),
        (wav_of(np.zeros(0)), {}, "file"),
        (wav_of(np.zeros(RATE)), {"language": "de"}, "language"),
        (wav_of(np.zeros(RATE)), {"response_format": "srt"}, "response_format"),
    ],
)
def test_what_cannot_be_heard_is_a_400_that_names_the_field(
    models_server: ModelsServer, data: bytes, fields: dict[str, str], param: str
) -> None:
    answer = post(models_server, data, **fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: ")
    assert error["type"] == "invalid_request_error"


def test_a_request_without_a_file_names_the_field(models_server: ModelsServer) -> None:
    answer = httpx.post(
        f"{models_server.openai_url}/audio/transcriptions",
        data={"model": "whisper-1"},
        timeout=60,
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


def test_tags_that_are_no_utf_8_do_not_matter(
    models_server: ModelsServer, caller_lines: list[SpokenLine]
) -> None:
    name = b"INFOINAM" + (8).to_bytes(4, "little") + b"Caf\xe9 one"
    tags = b"LIST" + len(name).to_bytes(4, "little") + name
    wav = caller_lines[0].wav
    tagged = b"RIFF" + (len(wav) - 8 + len(tags)).to_bytes(4, "little") + wav[8:36]
    answer = post(models_server, tagged + tags + wav[36:])
    assert words_of(answer.json()["text"]) == words_of(caller_lines[0].says)


def test_a_regional_language_is_the_language(
    models_server: ModelsServer, caller_lines: list[SpokenLine]
) -> None:
    answer = post(models_server, caller_lines[0].wav, language="en-US")
    assert words_of(answer.json()["text"]) == words_of(caller_lines[0].says)
