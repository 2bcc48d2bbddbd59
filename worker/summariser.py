"""The choice of summariser and analyst."""

from adapters.settings import OpenAISettings, WorkerSettings, load
from adapters.summarisers.analyst import OpenAIAnalyst
from adapters.summarisers.chat import ChatModel
from adapters.summarisers.extractive import ExtractiveSummariser
from adapters.summarisers.openai_compatible import OpenAISummariser
from domain.transcripts.ports import Analyst, Summariser


def models_of(settings: WorkerSettings) -> tuple[Summariser, Analyst | None]:
    """The extractive summariser, which needs no account, or models of an OpenAI-compatible server.

    Only such a model can analyse a call.
    """
    if settings.summariser == "extractive":
        return ExtractiveSummariser(), None
    account = load(OpenAISettings)
    chat = ChatModel(
        account.openai_api_key.get_secret_value(),
        base_url=settings.summariser_base_url or account.openai_base_url,
        model=settings.summariser_model,
    )
    return OpenAISummariser(chat), OpenAIAnalyst(chat)
