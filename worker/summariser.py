"""Which summariser and analyst the settings ask for."""

from adapters.settings import OpenAISettings, WorkerSettings, load
from adapters.summarisers.analyst import OpenAIAnalyst
from adapters.summarisers.chat import ChatModel
from adapters.summarisers.extractive import ExtractiveSummariser
from adapters.summarisers.openai_compatible import OpenAISummariser
from domain.transcripts.ports import Analyst, Summariser


def summariser_of(settings: WorkerSettings) -> Summariser:
    """The extractive one needs no account; the other is any OpenAI-compatible server."""
    if settings.summariser == "extractive":
        return ExtractiveSummariser()
    return OpenAISummariser(_chat(settings))


def analyst_of(settings: WorkerSettings) -> Analyst | None:
    """Data and success are found by a model alone; None without one."""
    return OpenAIAnalyst(_chat(settings)) if settings.summariser == "openai" else None


def _chat(settings: WorkerSettings) -> ChatModel:
    account = load(OpenAISettings)
    return ChatModel(
        account.openai_api_key.get_secret_value(),
        base_url=settings.summariser_base_url or account.openai_base_url,
        model=settings.summariser_model,
    )
