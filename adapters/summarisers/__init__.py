"""Summarisers: one that needs no account, and one on any OpenAI-compatible server."""

from adapters.summarisers.extractive import ExtractiveSummariser
from adapters.summarisers.openai_compatible import OpenAISummariser

__all__ = ["ExtractiveSummariser", "OpenAISummariser"]
