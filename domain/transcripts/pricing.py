"""Cost estimates from a dated table of list prices, in US dollars.

The cost of a model that is not in the table is `null`, never a guess, as is that of a usage with an
unpriced part. Self-hosted servers are not in the table.
"""

from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput
from domain.json_model import is_number
from domain.transcripts.usage import ModelUsage

PRICES_VARIABLE = "EVERLINE_PRICES_FILE"
PRICED_TYPES = ("llm_usage", "stt_usage", "tts_usage")
"""Kinds of usage that are billed; turn detection runs in the agent worker."""
_MILLION = 1_000_000
_MINUTE = 60


class Rates(BaseModel):
    """A model's prices, per million tokens or characters, or per minute."""

    model_config = ConfigDict(extra="forbid")

    input: float | None = Field(default=None, ge=0)
    """Uncached text tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    audio_input: float | None = Field(default=None, ge=0)
    cached_audio_input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)
    audio_output: float | None = Field(default=None, ge=0)
    characters: float | None = Field(default=None, ge=0)
    audio_minute: float | None = Field(default=None, ge=0)
    """Per minute of audio heard or spoken."""
    session_minute: float | None = Field(default=None, ge=0)


class Price(BaseModel):
    """The price of a model; `provider` and `model` are those of its usage."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    rates: Rates


class PriceTable(BaseModel):
    """Prices with their source; the last entry of a model counts."""

    model_config = ConfigDict(extra="forbid")

    source: str
    date: date
    currency: str = "USD"
    prices: tuple[Price, ...]

    def rates(self, usage: ModelUsage) -> Rates | None:
        """The rates of a usage's model; None if it is not in the table."""
        wanted = (usage.provider.lower(), usage.model.lower())
        matching = (
            price.rates
            for price in reversed(self.prices)
            if (price.provider.lower(), price.model.lower()) == wanted
        )
        return next(matching, None)

    def with_own(self, own: Self) -> "PriceTable":
        """This table with an installation's own prices on top.

        Raises:
            InvalidInput: the two are in different currencies.
        """
        if own.currency != self.currency:
            raise InvalidInput(
                f"prices in {own.currency} cannot be added to prices in {self.currency}",
                field=PRICES_VARIABLE,
                cure=f"give all prices in {self.currency}",
            )
        return PriceTable(
            source=f"{own.source}; {self.source}",
            date=own.date,
            currency=self.currency,
            prices=self.prices + own.prices,
        )


class CostLine(BaseModel):
    """What one model cost."""

    type: str
    provider: str
    model: str
    amount: float | None
    """None if the model, or a part of its usage, has no price in the table."""


class CostEstimate(BaseModel):
    """The cost of a call by the price table, before discounts and taxes."""

    currency: str = "USD"
    total: float | None
    """None if the price of a model is unknown."""
    known: float
    """The sum over the models with a known price."""
    prices_of: str = Field(examples=["2026-11-22"])
    """The date of the price table."""
    lines: list[CostLine]


@cache
def built_in_prices() -> PriceTable:
    """The table as shipped."""
    data = (resources.files("domain.transcripts") / "prices.json").read_bytes()
    return PriceTable.model_validate_json(data)


def estimate(usages: Sequence[ModelUsage], table: PriceTable) -> CostEstimate | None:
    """The cost of these usages; None if nothing is billed."""
    lines = [
        CostLine(
            type=usage.type,
            provider=usage.provider,
            model=usage.model,
            amount=_amount(usage, table.rates(usage)),
        )
        for usage in usages
        if usage.type in PRICED_TYPES
    ]
    if not lines:
        return None
    amounts = [line.amount for line in lines]
    known = sum(amount for amount in amounts if amount is not None)
    return CostEstimate(
        currency=table.currency,
        total=None if None in amounts else round(known, 6),
        known=round(known, 6),
        prices_of=table.date.isoformat(),
        lines=lines,
    )


def _amount(usage: ModelUsage, rates: Rates | None) -> float | None:
    if rates is None:
        return None
    parts = _billed(usage, rates)
    if not parts or any(rate is None for amount, rate in parts if amount > 0):
        return None
    return round(sum(amount * rate for amount, rate in parts if rate is not None), 6)


def _billed(usage: ModelUsage, rates: Rates) -> list[tuple[float, float | None]]:
    """Amounts with their rates; empty if the billed unit was not counted.

    A model is billed by one kind of unit, which its entry in the table decides.
    """
    if rates.audio_minute is not None:
        return [(usage.audio_duration / _MINUTE, rates.audio_minute)]
    if rates.session_minute is not None:
        return [(usage.session_duration / _MINUTE, rates.session_minute)]
    if rates.characters is not None:
        return [(usage.characters_count / _MILLION, rates.characters)]
    if not usage.input_tokens and not usage.output_tokens:
        # Audio or characters were used, but the billed tokens were not counted.
        used = usage.audio_duration or usage.characters_count
        return [] if used else [(0, rates.input)]
    return _tokens(usage, rates)


def _tokens(usage: ModelUsage, rates: Rates) -> list[tuple[float, float | None]]:
    cached_audio = min(usage.input_cached_audio_tokens, usage.input_cached_tokens)
    cached_text = usage.input_cached_tokens - cached_audio
    audio = max(usage.input_audio_tokens - cached_audio, 0)
    text = max(usage.input_tokens - audio - cached_audio - cached_text, 0)
    audio_out = usage.output_audio_tokens
    if usage.type == "tts_usage":
        # All output of a TTS model is audio.
        audio_out = usage.output_tokens
    images = (usage.model_extra or {}).get("input_image_tokens") or 0
    parts = [
        (text, rates.input),
        (cached_text, rates.cached_input),
        (audio, rates.audio_input),
        (cached_audio, rates.cached_audio_input),
        (max(usage.output_tokens - audio_out, 0), rates.output),
        (audio_out, rates.audio_output),
        (images if is_number(images) else 0, None),
    ]
    return [(amount / _MILLION, rate) for amount, rate in parts]
