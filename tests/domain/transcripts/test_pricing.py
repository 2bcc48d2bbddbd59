"""What a call costs by the price table: exact for what is known, null for what is not."""

import json
from pathlib import Path

import pytest

from adapters.prices import load_prices
from domain.errors import InvalidInput
from domain.transcripts.pricing import built_in_prices, estimate
from domain.transcripts.usage import ModelUsage

OPENAI = "api.openai.com"


def cost(kind: str, model: str, provider: str = OPENAI, /, **counted: float) -> float | None:
    usage = ModelUsage.model_validate(
        {"type": f"{kind}_usage", "provider": provider, "model": model, **counted}
    )
    found = estimate([usage], built_in_prices())
    assert found is not None
    assert found.total == found.lines[0].amount
    return found.total


def test_every_kind_of_token_has_its_own_price() -> None:
    assert cost("llm", "gpt-4.1-mini", input_tokens=1_000_000) == 0.4
    assert cost("llm", "gpt-4.1-mini", input_tokens=10, input_cached_tokens=10) == 0.000001
    assert cost("llm", "gpt-4.1-mini", output_tokens=1_000_000) == 1.6
    # A million tokens in, half of them audio, of which 100,000 were cached, as 50,000 of the text.
    heard = {
        "input_tokens": 1_000_000,
        "input_audio_tokens": 500_000,
        "input_cached_tokens": 150_000,
        "input_cached_audio_tokens": 100_000,
        "output_tokens": 200_000,
        "output_audio_tokens": 150_000,
    }
    text, cached = 450_000 * 4, 150_000 * 0.4
    audio, spoken = 400_000 * 32, 150_000 * 64 + 50_000 * 16
    expected = (text + cached + audio + spoken) / 1_000_000
    assert cost("llm", "gpt-realtime", **heard) == pytest.approx(expected)


def test_voices_and_ears_are_paid_by_their_own_units() -> None:
    assert cost("tts", "gpt-4o-mini-tts", input_tokens=1_000_000, output_tokens=1_000_000) == 12.6
    assert cost("tts", "tts-1", characters_count=100_000) == 1.5
    assert cost("stt", "whisper-1", audio_duration=600) == 0.06
    heard = {"input_tokens": 1_100_000, "input_audio_tokens": 1_000_000, "output_tokens": 200_000}
    assert cost("stt", "gpt-4o-mini-transcribe", **heard) == 3 + 0.125 + 1


@pytest.mark.parametrize(
    ("provider", "model"),
    [("127.0.0.1:4010", "gpt-4.1-mini"), (OPENAI, "gpt-99"), ("livekit", "openai/gpt-4.1-mini")],
)
def test_what_is_not_in_the_table_costs_null(provider: str, model: str) -> None:
    assert cost("llm", model, provider, input_tokens=100) is None


def test_a_part_without_a_price_makes_the_model_cost_null() -> None:
    assert cost("llm", "gpt-4.1", input_tokens=10, input_audio_tokens=5) is None
    assert cost("llm", "gpt-4.1", input_tokens=10, input_image_tokens=5) is None
    # Nobody counted the tokens that it is paid by.
    assert cost("tts", "gpt-4o-mini-tts", characters_count=100, audio_duration=9) is None


def test_detection_of_turns_costs_nothing() -> None:
    detected = ModelUsage(type="eot_usage", provider="livekit", model="turn-detector")
    assert estimate([detected], built_in_prices()) is None


def test_ones_own_prices_are_on_top(tmp_path: Path) -> None:
    own = {
        "source": "our contract",
        "date": "2026-12-01",
        "prices": [
            {"provider": OPENAI, "model": "gpt-4.1-mini", "rates": {"input": 1}},
            {"provider": "Deepgram", "model": "nova-3", "rates": {"audio_minute": 0.5}},
        ],
    }
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(own))
    table = load_prices(file)
    usages = [
        ModelUsage(type="llm_usage", provider=OPENAI, model="gpt-4.1-mini", input_tokens=2_000_000),
        ModelUsage(type="stt_usage", provider="deepgram", model="nova-3", audio_duration=120),
        ModelUsage(type="tts_usage", provider=OPENAI, model="tts-1", characters_count=1_000_000),
    ]

    found = estimate(usages, table)

    assert found is not None
    assert [line.amount for line in found.lines] == [2.0, 1.0, 15.0]
    assert (found.total, found.prices_of) == (18.0, "2026-12-01")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "the file"),
        ('{"source": "s", "date": "someday", "prices": []}', "date"),
        (
            '{"source": "s", "date": "2026-01-01", "prices":'
            ' [{"provider": "p", "model": "m", "rates": {"tokens": 1}}]}',
            "prices.0.rates.tokens",
        ),
    ],
)
def test_a_malformed_table_is_refused_at_its_place(tmp_path: Path, text: str, place: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=place):
        load_prices(file)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_prices(tmp_path / "nowhere.json")


def test_the_shipped_table_is_dated_and_has_each_model_once() -> None:
    table = built_in_prices()
    names = [(price.provider, price.model) for price in table.prices]
    assert table.source
    assert len(names) == len(set(names))
