"""What a call's models cost: an estimate from a dated table of list prices, in US dollars.

A model that the table does not have costs `null`, never a guess; so does a usage with a part that
its entry has no price for. Self-hosted servers have no entry: what they cost is their owner's.
"""

from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import InvalidInput
from domain.transcripts.usage import ModelUsage

PRICES_VARIABLE = "EVERLINE_PRICES_FILE"
PRICED_TYPES = ("llm_usage", "stt_usage", "tts_usage")
"""Kinds of usage that cost money by themselves; detection of turns runs in the agent worker."""
_MILLION = 1_000_000
_MINUTE = 60


class Rates(BaseModel):
    """Prices of one model's units: per million tokens or characters, or per minute."""

    model_config = ConfigDict(extra="forbid")

    input: float | None = Field(default=None, ge=0)
    """Text tokens that were not cached."""
    cached_input: float | None = Field(default=None, ge=0)
    audio_input: float | None = Field(default=None, ge=0)
    cached_audio_input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)
    audio_output: float | None = Field(default=None, ge=0)
    characters: float | None = Field(default=None, ge=0)
    audio_minute: float | None = Field(default=None, ge=0)
    """Per minute of audio that was heard or spoken."""
    session_minute: float | None = Field(default=None, ge=0)


class Price(BaseModel):
    """The price of one model of one provider, as a usage names them."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    rates: Rates


class PriceTable(BaseModel):
    """Prices with their origin; later entries for the same model win."""

    model_config = ConfigDict(extra="forbid")

    source: str
    date: date
    currency: str = "USD"
    prices: tuple[Price, ...]

    def rates(self, usage: ModelUsage) -> Rates | None:
        """The rates of a usage's model; None if the table does not have it."""
        wanted = (usage.provider.lower(), usage.model.lower())
        for price in reversed(self.prices):
            if (price.provider.lower(), price.model.lower()) == wanted:
                return price.rates
        return None

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
    """None if the table has no price for it, or for a part of it."""


class CostEstimate(BaseModel):
    """What a call cost by the price table, before discounts and taxes."""

    currency: str = "USD"
    total: float | None
    """None if one of the models has no known price."""
    known: float
    """The sum of the models that have one."""
    prices_of: str = Field(examples=["2026-11-22"])
    """The date of the price table."""
    lines: list[CostLine]


@cache
def built_in_prices() -> PriceTable:
    """The table that is shipped."""
    data = (resources.files("domain.transcripts") / "prices.json").read_bytes()
    return PriceTable.model_validate_json(data)


def estimate(usages: Sequence[ModelUsage], table: PriceTable) -> CostEstimate | None:
    """What these usages cost; None if there is nothing to pay for."""
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
    """Amounts with their rates, in the unit that the model is paid by; empty if none was counted.

    A model is paid by one kind of unit: its entry says by which.
    """
    if rates.audio_minute is not None:
        return [(usage.audio_duration / _MINUTE, rates.audio_minute)]
    if rates.session_minute is not None:
        return [(usage.session_duration / _MINUTE, rates.session_minute)]
    if rates.characters is not None:
        return [(usage.characters_count / _MILLION, rates.characters)]
    if not usage.input_tokens and not usage.output_tokens:
        # Audio or characters were used, and nobody counted the tokens that are to be paid.
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
        # All that a voice puts out is audio.
        audio_out = usage.output_tokens
    images = (usage.model_extra or {}).get("input_image_tokens") or 0
    parts = [
        (text, rates.input),
        (cached_text, rates.cached_input),
        (audio, rates.audio_input),
        (cached_audio, rates.cached_audio_input),
        (max(usage.output_tokens - audio_out, 0), rates.output),
        (audio_out, rates.audio_output),
        (images if isinstance(images, int | float) else 0, None),
    ]
    return [(amount / _MILLION, rate) for amount, rate in parts]
