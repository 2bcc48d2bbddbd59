"""Realtime providers over the wire: their own protocols, spoken to by the official plugins.

Each hears audio by its energy, takes turns at silence, says what its script tells it, calls tools,
and keeps everything that it received.
"""

from tests.fakes.realtime.gemini import GeminiLive
from tests.fakes.realtime.openai import OpenAiRealtime
from tests.fakes.realtime.provider import (
    ANSWER_SECONDS,
    Connection,
    Exchange,
    FakeProvider,
    Refusal,
)
from tests.fakes.realtime.ultravox import Ultravox
from tests.fakes.realtime.xai import XaiRealtime

__all__ = [
    "ANSWER_SECONDS",
    "Connection",
    "Exchange",
    "FakeProvider",
    "GeminiLive",
    "OpenAiRealtime",
    "Refusal",
    "Ultravox",
    "XaiRealtime",
]
