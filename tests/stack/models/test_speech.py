from __future__ import annotations

import base64
import io
import json
import wave

import httpx
import numpy as np
import pytest

from tests.stack.models.lines import words_of
from tests.stack.models.serving import ModelsServer
from tests.stack.models.test_transcription import post as transcribe

SENTENCE = "We are open every day from noon to eleven in the evening."


def say(server: ModelsServer, **body: object) -> httpx.Response:
    request = {"input": SENTENCE, "model": "tts-1", "voice": "alloy"} | body
    return httpx.post(f"{server.openai_url}/audio/speech", json=request, timeout=60)


def understood(server: ModelsServer, audio: bytes) -> bool:
    """Whether nearly all words are heard: no two sayings are the same, and one word may be lost."""
    heard = transcribe(server, audio).json()["text"].replace("11", "eleven")
    words = words_of(SENTENCE)
    return len(set(words) & set(words_of(heard))) >= len(set(words)) - 3


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("wav", "audio/wav"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("flac", "audio/flac"),
        ("aac", "audio/aac"),
    ],
)
def test_what_is_said_is_understood_again(
    models_server: ModelsServer, name: str, media_type: str
) -> None:
    spoken = say(models_server, response_format=name)
    assert spoken.headers["content-type"] == media_type
    assert understood(models_server, spoken.content)


def test_pcm_is_16_bit_mono_at_24_khz_and_wav_wraps_the_same() -> None:
    # Said by the next test through the server; here only the header is checked.
    from stack.models.sound import encode

    pcm = np.arange(-100, 100, dtype="<i2").tobytes()
    with wave.open(io.BytesIO(encode(pcm, "wav"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(200) == pcm


def test_raw_pcm_lasts_as_long_as_the_wav(models_server: ModelsServer) -> None:
    raw = say(models_server, response_format="pcm")
    assert raw.headers["content-type"] == "audio/pcm"
    with wave.open(io.BytesIO(say(models_server, response_format="wav").content)) as file:
        seconds = file.getnframes() / file.getframerate()
    # The voice is random in its pace, by a few per cent.
    assert len(raw.content) / 48_000 == pytest.approx(seconds, rel=0.15)
    assert seconds > 2


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
def test_the_speed_is_what_was_asked_for(models_server: ModelsServer, speed: float) -> None:
    own = len(say(models_server, response_format="pcm").content)
    changed = len(say(models_server, response_format="pcm", speed=speed).content)
    # Two sayings of a sentence differ by a few per cent.
    assert own / changed == pytest.approx(speed, rel=0.15)


def test_faster_speech_is_still_understood(models_server: ModelsServer) -> None:
    spoken = say(models_server, response_format="wav", speed=1.3)
    assert understood(models_server, spoken.content)


def test_events_carry_the_audio_and_then_the_usage(models_server: ModelsServer) -> None:
    answer = say(models_server, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        json.loads(line.removeprefix("data: "))
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert sum(len(base64.b64decode(event["audio"])) for event in deltas) > 2 * 48_000
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["input_tokens"] == len(SENTENCE.split())


def test_text_without_a_sound_is_a_moment_of_silence(models_server: ModelsServer) -> None:
    spoken = say(models_server, input="...", response_format="pcm")
    assert spoken.status_code == 200
    assert set(spoken.content) == {0}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "   "}, "input"),
        ({"input": "a" * 5000}, "input"),
        ({"response_format": "midi"}, "response_format"),
        ({"speed": 9}, "speed"),
        ({"stream_format": "smoke"}, "stream_format"),
    ],
)
def test_what_cannot_be_said_is_a_400_that_names_the_field(
    models_server: ModelsServer, body: dict[str, object], param: str
) -> None:
    answer = say(models_server, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
