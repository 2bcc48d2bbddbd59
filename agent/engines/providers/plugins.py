"""The official plugins: what differs between the providers is data.

A builder gets the plugin's module and the request. Plugins are imported by name, because an idle
process holds only those that have a key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from livekit.agents import NOT_GIVEN
from pydantic import SecretStr

from adapters.settings import AgentSettings
from agent.engines.parts import EngineFault
from agent.engines.preflight import Probe
from agent.engines.providers import xai
from domain.agents.descriptors import Descriptor


@dataclass(frozen=True)
class ModelRequest:
    """A model for one stage of the pipeline (`stt`, `llm` or `tts`)."""

    descriptor: Descriptor
    config_field: str
    """The field of the descriptor, for messages."""
    stage: str
    voice: str | None = None
    language: str | None = None
    """BCP-47 code; None for the provider's default."""
    key: str = field(default="", repr=False)
    base_url: str = ""
    custom_url: str | None = None
    """The configured base URL, if any."""

    @property
    def common(self) -> dict[str, Any]:
        """What most constructors take."""
        return {"model": self.descriptor.model, "base_url": self.base_url, "api_key": self.key}


Builder = Callable[[Any, ModelRequest], Any]
_BEARER = {"Authorization": "Bearer {key}"}
_REALTIME = "agent.engines.realtime"


@dataclass(frozen=True)
class Plugin:
    """A provider's official plugin."""

    key_setting: str
    """Environment variable of the key."""
    base_url: str
    stages: Mapping[str, Builder]
    """A builder for each stage that the provider has."""
    headers: Mapping[str, str] = field(default_factory=lambda: _BEARER)
    """What authenticates a probe; `{key}` stands for the key."""
    probe: str = "/models/{model}"
    """Path of a request that needs the key, and the model if it holds `{model}`."""
    voice_probe: bool = False
    """Whether the provider looks up a voice under `/voices/`."""
    url_setting: str | None = None
    """The setting that replaces `base_url`, if it is not named like the key's."""
    realtime: str = ""
    """`module:function` of what builds its realtime models; empty if it has none."""

    def key(self, settings: AgentSettings) -> str | None:
        """The key of this agent worker's account, if it has one."""
        key = cast(SecretStr | None, getattr(settings, self.key_setting.lower()))
        return key.get_secret_value() if key else None

    def no_key(self, config_field: str, provider: str, alternative: str = "") -> EngineFault:
        """The fault of a model whose provider has no account here."""
        return EngineFault(
            config_field,
            f"provider {provider!r} has no key on this agent worker",
            f"set {self.key_setting}{alternative}",
        )

    def request_with(self, request: ModelRequest, settings: AgentSettings) -> ModelRequest:
        """The request with this agent worker's account, at the configured base URL if any."""
        setting = self.url_setting or self.key_setting.lower().replace("api_key", "base_url")
        configured = cast(str | None, getattr(settings, setting))
        base_url = configured or self.base_url
        return replace(
            request, key=self.key(settings) or "", base_url=base_url, custom_url=configured
        )

    def probe_of(self, request: ModelRequest) -> Probe:
        """How to find out whether key, model and voice are accepted."""
        model, voice = request.descriptor.model, request.voice
        path, names = self.probe.format(model=model), None
        if self.voice_probe and voice:
            path, names = f"/voices/{voice}", f"the voice {voice!r}"
        elif path != self.probe:
            names = f"the model {model!r}"
        url = re.sub("^ws", "http", request.base_url)
        headers = {name: text.format(key=request.key) for name, text in self.headers.items()}
        asked = repr(request.descriptor.provider)
        return Probe(request.config_field, self.key_setting, url + path, headers, asked, names)


def _whole_utterance_stt(plugin: Any, request: ModelRequest) -> Any:
    """Takes an utterance at a time; without a language the model detects it."""
    language = request.language
    return plugin.STT(**request.common, language=language or "", detect_language=language is None)


def _chat_model(plugin: Any, request: ModelRequest) -> Any:
    return plugin.LLM(**request.common)


def _eleven_stt(plugin: Any, request: ModelRequest) -> Any:
    """A streaming model ends utterances itself.

    It would otherwise wait to be told, which the session does neither without voice activity
    detection nor with another provider's fallback.
    """
    streams = request.descriptor.model == "scribe_v2_realtime"
    return plugin.STT(
        **request.common,
        # The service knows languages without their region.
        language_code=request.language.partition("-")[0] if request.language else NOT_GIVEN,
        server_vad={"vad_silence_threshold_secs": 0.5} if streams else NOT_GIVEN,
    )


def _eleven_tts(plugin: Any, request: ModelRequest) -> Any:
    return plugin.TTS(
        **request.common,
        voice_id=request.voice or "hpp4J3VqNfWAUOO0d1Us",
        language=request.language or NOT_GIVEN,
        # Nothing to decode before the first sound.
        encoding="pcm_24000",
    )


def _deepgram_stt(plugin: Any, request: ModelRequest) -> Any:
    """`flux` models have an API of their own; `flux-general` alone is English or any language."""
    model, language = request.descriptor.model, request.language
    if not model.startswith("flux"):
        url = f"{request.base_url}/v1/listen"
        return plugin.STT(
            model=model, language=language or "en-US", base_url=url, api_key=request.key
        )
    if model == "flux-general":
        english = language is None or language.lower().startswith("en")
        model = f"{model}-{'en' if english else 'multi'}"
    url = f"{request.base_url.replace('http', 'ws', 1)}/v2/listen"
    return plugin.STTv2(model=model, base_url=url, api_key=request.key)


def _deepgram_tts(plugin: Any, request: ModelRequest) -> Any:
    """`aura-2` with a voice as Deepgram spells it, `aura-2-andromeda-en`; a full name stays."""
    model = request.descriptor.model
    if default := {"aura": "asteria", "aura-2": "andromeda"}.get(model):
        voice = request.voice or default
        if "-" not in voice:
            voice = f"{voice}-{(request.language or 'en')[:2]}"
        model = voice if voice.startswith("aura-") else f"{model}-{voice}"
    return plugin.TTS(model=model, base_url=f"{request.base_url}/v1/speak", api_key=request.key)


def _assemblyai_stt(plugin: Any, request: ModelRequest) -> Any:
    """Models that are not limited to one language take it as a hint."""
    model = request.descriptor.model
    hinted = model.startswith(("u3-", "universal-3"))
    return plugin.STT(
        model="universal-streaming-english" if model == "universal-streaming" else model,
        language_codes=request.language if hinted and request.language else NOT_GIVEN,
        base_url=re.sub("^http", "ws", request.base_url),
        api_key=request.key,
    )


def _google_llm(plugin: Any, request: ModelRequest) -> Any:
    from google.genai.types import HttpOptions  # only where Google is used

    url, options = request.custom_url, NOT_GIVEN
    if url:
        options = HttpOptions(base_url=url, api_version="v1beta", timeout=30_000)
    return plugin.LLM(
        model=request.descriptor.model, api_key=request.key, vertexai=False, http_options=options
    )


PLUGINS: Mapping[str, Plugin] = {
    "openai": Plugin(
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
        {
            "stt": _whole_utterance_stt,
            "llm": _chat_model,
            # Raw PCM: nothing to decode before the first sound.
            "tts": lambda plugin, request: plugin.TTS(
                **request.common, voice=request.voice or "ash", response_format="pcm"
            ),
        },
        realtime=f"{_REALTIME}.openai_family:openai_realtime",
    ),
    "cartesia": Plugin(
        "CARTESIA_API_KEY",
        "https://api.cartesia.ai",
        {
            "stt": lambda plugin, request: plugin.STT(
                **request.common, language=request.language or "en"
            ),
            "tts": lambda plugin, request: plugin.TTS(
                **request.common,
                voice=request.voice or "f786b574-daa5-4673-aa0c-cbe3e8534c02",
                language=request.language or "en",
            ),
        },
        {"X-API-Key": "{key}", "Cartesia-Version": "2025-04-16"},
        "/voices?limit=1",
        voice_probe=True,
    ),
    "elevenlabs": Plugin(
        "ELEVEN_API_KEY",
        "https://api.elevenlabs.io/v1",
        {"stt": _eleven_stt, "tts": _eleven_tts},
        {"xi-api-key": "{key}"},
        "/models",
        voice_probe=True,
    ),
    "deepgram": Plugin(
        "DEEPGRAM_API_KEY",
        "https://api.deepgram.com",
        {"stt": _deepgram_stt, "tts": _deepgram_tts},
        {"Authorization": "Token {key}"},
        "/v1/auth/token",
    ),
    "assemblyai": Plugin(
        "ASSEMBLYAI_API_KEY",
        "wss://streaming.assemblyai.com",
        {"stt": _assemblyai_stt},
        {"Authorization": "{key}"},
        # A token for one minute, which only a valid key is given.
        "/v3/token?expires_in_seconds=60",
    ),
    # Google's speech models need other credentials and go through LiveKit Inference.
    "google": Plugin(
        "GOOGLE_API_KEY",
        "https://generativelanguage.googleapis.com",
        {"llm": _google_llm},
        {"x-goog-api-key": "{key}"},
        "/v1beta/models/{model}",
        url_setting="google_gemini_base_url",
        realtime=f"{_REALTIME}.gemini:gemini",
    ),
    "anthropic": Plugin(
        "ANTHROPIC_API_KEY",
        "https://api.anthropic.com",
        {"llm": _chat_model},
        {"x-api-key": "{key}", "anthropic-version": "2023-06-01"},
        "/v1/models/{model}",
    ),
    "groq": Plugin(
        "GROQ_API_KEY",
        "https://api.groq.com/openai/v1",
        {
            "stt": _whole_utterance_stt,
            "llm": _chat_model,
            "tts": lambda plugin, request: plugin.TTS(
                **request.common, voice=request.voice or "autumn"
            ),
        },
    ),
    "xai": Plugin(
        "XAI_API_KEY",
        "https://api.x.ai/v1",
        {
            "stt": lambda plugin, request: plugin.STT(
                language=(request.language or "en").partition("-")[0],
                api_key=request.key,
                http_session=xai.speech_session(request.custom_url),
            ),
            "llm": lambda plugin, request: plugin.responses.LLM(**request.common),
            "tts": lambda plugin, request: plugin.TTS(
                voice=request.voice or "ara",
                language=xai.spoken_language(request.language),
                api_key=request.key,
                http_session=xai.speech_session(request.custom_url),
            ),
        },
        probe="/models",
        realtime=f"{_REALTIME}.openai_family:xai_realtime",
    ),
    "ultravox": Plugin(
        "ULTRAVOX_API_KEY",
        "https://api.ultravox.ai",
        {},
        realtime=f"{_REALTIME}.ultravox_calls:ultravox_realtime",
    ),
}
