"""Which summariser the settings ask for."""

from adapters.settings import OpenAISettings, WorkerSettings, load
from adapters.summarisers.extractive import ExtractiveSummariser
from adapters.summarisers.openai_compatible import OpenAISummariser
from domain.ports import Summariser


def summariser_of(settings: WorkerSettings) -> Summariser:
    """The extractive one needs no account; the other is any OpenAI-compatible server."""
    if settings.summariser == "extractive":
        return ExtractiveSummariser()
    account = load(OpenAISettings)
    return OpenAISummariser(
        api_key=account.openai_api_key.get_secret_value(),
        base_url=settings.summariser_base_url or account.openai_base_url,
        model=settings.summariser_model,
    )
