"""LiveKit Inference: every provider's models through LiveKit's gateway and one account."""

from datetime import timedelta
from typing import Any

from livekit import api
from livekit.agents import NOT_GIVEN, inference

from adapters.settings import AgentSettings
from agent.engines.providers.plugins import ModelRequest
from agent.engines.providers.probe import Probe

_URL = "https://agent-gateway.livekit.cloud/v1"
_STAGING_URL = "https://agent-gateway.staging.livekit.cloud/v1"


def build_with_inference(request: ModelRequest, settings: AgentSettings) -> tuple[Any, Probe]:
    """A model of the gateway and its probe; `provider/model` is passed on as it is."""
    name, language = request.descriptor.name, request.language or NOT_GIVEN
    staging = ".staging.livekit.cloud" in settings.livekit_url
    url = settings.livekit_inference_url or (_STAGING_URL if staging else _URL)
    key = settings.livekit_inference_api_key or settings.livekit_api_key
    secret = settings.livekit_inference_api_secret or settings.livekit_api_secret
    account: Any = {"base_url": url, "api_key": key, "api_secret": secret.get_secret_value()}
    probe = _probe(request, url, key, secret.get_secret_value())
    if request.stage == "stt":
        return inference.STT(name, language=language, **account), probe
    if request.stage == "llm":
        return inference.LLM(name, **account), probe
    voice = request.voice or NOT_GIVEN
    return inference.TTS(name, voice=voice, language=language, **account), probe


def _probe(request: ModelRequest, url: str, key: str, secret: str) -> Probe:
    """The gateway checks the account before anything else."""
    grants = api.access_token.InferenceGrants(perform=True)
    token = api.AccessToken(key, secret).with_identity("agent").with_inference_grants(grants)
    return Probe(
        request.descriptor,
        "LIVEKIT_INFERENCE_API_SECRET",
        f"{url.replace('ws', 'http', 1) if url.startswith('ws') else url}/tts"
        f"?model={request.descriptor.name}",
        {"Authorization": f"Bearer {token.with_ttl(timedelta(minutes=1)).to_jwt()}"},
        asked="LiveKit Inference",
    )
