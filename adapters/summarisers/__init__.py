"""Summarisers: one that needs no account, and one on any OpenAI-compatible server."""

from adapters.settings import OpenAISettings, WorkerSettings, load
from adapters.summarisers.extractive import ExtractiveSummariser
from adapters.summarisers.openai_compatible import OpenAISummariser
from domain.ports import Summariser

__all__ = ["ExtractiveSummariser", "OpenAISummariser", "summariser_of"]


def summariser_of(settings: WorkerSettings) -> Summariser:
    """The summariser that the settings name.

    Raises:
        SettingsError: an OpenAI-compatible one is chosen and has no key.
    """
    if settings.summariser == "extractive":
        return ExtractiveSummariser()
    account = load(OpenAISettings)
    return OpenAISummariser(
        api_key=account.openai_api_key.get_secret_value(),
        model=settings.summariser_model,
        base_url=settings.summariser_base_url or account.openai_base_url,
    )
