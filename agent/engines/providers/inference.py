"""LiveKit Inference: every provider's models through LiveKit's gateway and one account."""

import re
from datetime import timedelta
from typing import Any

from livekit import api
from livekit.agents import NOT_GIVEN, inference

from adapters.settings import AgentSettings
from agent.engines.preflight import Probe
from agent.engines.providers.plugins import ModelRequest

_URL = "https://agent-gateway.livekit.cloud/v1"
_STAGING_URL = "https://agent-gateway.staging.livekit.cloud/v1"


def build_with_inference(request: ModelRequest, settings: AgentSettings) -> tuple[Any, Probe]:
    """A model of the gateway and its probe; `provider/model` is passed on as it is."""
    name, stage = request.descriptor.name, request.stage
    staging = ".staging.livekit.cloud" in settings.livekit_url
    url = settings.livekit_inference_url or (_STAGING_URL if staging else _URL)
    key = settings.livekit_inference_api_key or settings.livekit_api_key
    secret = settings.livekit_inference_api_secret or settings.livekit_api_secret
    account = {"base_url": url, "api_key": key, "api_secret": secret.get_secret_value()}
    options: dict[str, Any] = {} if stage == "llm" else {"language": request.language or NOT_GIVEN}
    if stage == "tts":
        options["voice"] = request.voice or NOT_GIVEN
    kinds: dict[str, Any] = {"stt": inference.STT, "llm": inference.LLM, "tts": inference.TTS}
    # The gateway checks the account before anything else.
    grants = api.access_token.InferenceGrants(perform=True)
    token = api.AccessToken(key, secret.get_secret_value()).with_inference_grants(grants)
    short = token.with_identity("agent").with_ttl(timedelta(minutes=1)).to_jwt()
    probe = Probe(
        request.descriptor,
        "LIVEKIT_INFERENCE_API_SECRET",
        f"{re.sub('^ws', 'http', url)}/tts?model={name}",
        {"Authorization": f"Bearer {short}"},
        asked="LiveKit Inference",
    )
    return kinds[stage](name, **options, **account), probe
