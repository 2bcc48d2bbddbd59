"""The official plugins: what differs between the providers is data.

A builder gets the plugin's module and the request. Plugins are imported by name, because an idle
process holds only those that have a key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from livekit.agents import NOT_GIVEN
from pydantic import SecretStr

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from agent.engines.providers import xai
from agent.engines.providers.probe import Probe


@dataclass(frozen=True)
class ModelRequest:
    """A model for one stage of the pipeline.

    Attributes:
        stage: `stt`, `llm` or `tts`.
        voice: for a descriptor that names none.
        language: BCP-47 code; None for the provider's default.
    """

    descriptor: Descriptor
    stage: str
    voice: str | None = None
    language: str | None = None

    @property
    def wanted_voice(self) -> str | None:
        """The descriptor's own voice goes before the engine's."""
        return self.descriptor.voice or self.voice


@dataclass(frozen=True)
class Account:
    """A request with the account that serves it."""

    request: ModelRequest
    key: str = field(repr=False)
    base_url: str
    is_default_url: bool

    @property
    def model(self) -> str:
        """The model's name at the provider."""
        return self.request.descriptor.model

    @property
    def language(self) -> str | None:
        """BCP-47 code of the language; None for the provider's default."""
        return self.request.language

    @property
    def common(self) -> dict[str, Any]:
        """What most constructors take."""
        return {"model": self.model, "base_url": self.base_url, "api_key": self.key}

    def voice(self, default: str) -> str:
        """The voice to speak in."""
        return self.request.wanted_voice or default


Builder = Callable[[Any, Account], Any]


@dataclass(frozen=True)
class Plugin:
    """A provider's official plugin.

    Attributes:
        module: to import, on the main thread.
        key_setting: environment variable of the key.
        url_setting: name of the setting that replaces `base_url`.
        headers: that authenticate a probe; `{key}` stands for the key.
        probe: path of a request that needs the key, and the model if it holds `{model}`.
        stages: a builder for each stage that the provider has.
        voice_probe: whether the provider looks up a voice under `/voices/`.
    """

    module: str
    key_setting: str
    url_setting: str
    base_url: str
    headers: Mapping[str, str]
    probe: str
    stages: Mapping[str, Builder]
    voice_probe: bool = False

    def key(self, settings: AgentSettings) -> str | None:
        """The key of this agent worker's account, if it has one."""
        key = cast(SecretStr | None, getattr(settings, self.key_setting.lower()))
        return key.get_secret_value() if key else None

    def account(self, request: ModelRequest, key: str, settings: AgentSettings) -> Account:
        """The request at the provider's URL, or at the configured one."""
        configured = cast(str | None, getattr(settings, self.url_setting))
        return Account(request, key, configured or self.base_url, not configured)

    def probe_of(self, account: Account) -> Probe:
        """How to find out whether key, model and voice are accepted."""
        request, path, names = account.request, self.probe.format(model=account.model), None
        if self.voice_probe and request.wanted_voice:
            path, names = f"/voices/{request.wanted_voice}", f"the voice {request.wanted_voice!r}"
        elif path != self.probe:
            names = f"the model {account.model!r}"
        url = account.base_url
        if url.startswith("ws"):
            url = url.replace("ws", "http", 1)
        headers = {name: text.format(key=account.key) for name, text in self.headers.items()}
        return Probe(request.descriptor, self.key_setting, url + path, headers, names=names)


_BEARER = {"Authorization": "Bearer {key}"}


def _whole_utterance_stt(plugin: Any, account: Account) -> Any:
    """Takes an utterance at a time; without a language the model detects it."""
    language = account.language
    return plugin.STT(**account.common, language=language or "", detect_language=language is None)


def _chat_model(plugin: Any, account: Account) -> Any:
    return plugin.LLM(**account.common)


def _websocket(url: str) -> str:
    return url if url.startswith("ws") else url.replace("http", "ws", 1)


def _cartesia_stt(plugin: Any, account: Account) -> Any:
    return plugin.STT(**account.common, language=account.language or "en")


def _cartesia_tts(plugin: Any, account: Account) -> Any:
    voice = account.voice("f786b574-daa5-4673-aa0c-cbe3e8534c02")
    return plugin.TTS(**account.common, voice=voice, language=account.language or "en")


def _eleven_stt(plugin: Any, account: Account) -> Any:
    """A streaming model ends utterances itself.

    It would otherwise wait to be told, which the session does neither without voice activity
    detection nor with another provider's fallback.
    """
    streams = account.model == "scribe_v2_realtime"
    return plugin.STT(
        **account.common,
        # The service knows languages without their region.
        language_code=account.language.partition("-")[0] if account.language else NOT_GIVEN,
        server_vad={"vad_silence_threshold_secs": 0.5} if streams else NOT_GIVEN,
    )


def _eleven_tts(plugin: Any, account: Account) -> Any:
    arguments = account.common
    return plugin.TTS(
        model=arguments.pop("model"),
        voice_id=account.voice("hpp4J3VqNfWAUOO0d1Us"),
        language=account.language or NOT_GIVEN,
        # Nothing to decode before the first sound.
        encoding="pcm_24000",
        **arguments,
    )


def _deepgram_stt(plugin: Any, account: Account) -> Any:
    """`flux` models have an API of their own; `flux-general` alone is English or any language."""
    model, language = account.model, account.language
    if not model.startswith("flux"):
        url = f"{account.base_url}/v1/listen"
        return plugin.STT(
            model=model, language=language or "en-US", base_url=url, api_key=account.key
        )
    if model == "flux-general":
        english = language is None or language.lower().startswith("en")
        model = f"{model}-{'en' if english else 'multi'}"
    url = f"{account.base_url.replace('http', 'ws', 1)}/v2/listen"
    return plugin.STTv2(model=model, base_url=url, api_key=account.key)


def _deepgram_tts(plugin: Any, account: Account) -> Any:
    """`aura-2` with a voice as Deepgram spells it, `aura-2-andromeda-en`; a full name stays."""
    model = account.model
    if model in ("aura", "aura-2"):
        voice = account.voice("andromeda" if model == "aura-2" else "asteria")
        if voice.startswith("aura-"):
            model = voice
        elif "-" in voice:
            model = f"{model}-{voice}"
        else:
            model = f"{model}-{voice}-{(account.language or 'en')[:2]}"
    return plugin.TTS(model=model, base_url=f"{account.base_url}/v1/speak", api_key=account.key)


def _assemblyai_stt(plugin: Any, account: Account) -> Any:
    """Models that are not limited to one language take it as a hint."""
    names = {"universal-streaming": "universal-streaming-english"}
    model = names.get(account.model, account.model)
    hinted = model.startswith(("u3-", "universal-3"))
    return plugin.STT(
        model=model,
        language_codes=account.language if hinted and account.language else NOT_GIVEN,
        base_url=_websocket(account.base_url),
        api_key=account.key,
    )


def _google_llm(plugin: Any, account: Account) -> Any:
    from google.genai.types import HttpOptions  # only where Google is used

    options: Any = NOT_GIVEN
    if not account.is_default_url:
        options = HttpOptions(base_url=account.base_url, api_version="v1beta", timeout=30_000)
    return plugin.LLM(
        model=account.model, api_key=account.key, vertexai=False, http_options=options
    )


def _xai_stt(plugin: Any, account: Account) -> Any:
    language = (account.language or "en").partition("-")[0]
    session = None if account.is_default_url else xai.at_base_url(account.base_url)
    return plugin.STT(language=language, api_key=account.key, http_session=session)


def _xai_tts(plugin: Any, account: Account) -> Any:
    return plugin.TTS(
        voice=account.voice("ara"),
        language=xai.spoken_language(account.language),
        api_key=account.key,
        http_session=None if account.is_default_url else xai.at_base_url(account.base_url),
    )


PLUGINS: Mapping[str, Plugin] = {
    "openai": Plugin(
        "livekit.plugins.openai",
        "OPENAI_API_KEY",
        "openai_base_url",
        "https://api.openai.com/v1",
        _BEARER,
        "/models/{model}",
        {
            "stt": _whole_utterance_stt,
            "llm": _chat_model,
            # Raw PCM: nothing to decode before the first sound.
            "tts": lambda plugin, account: plugin.TTS(
                **account.common, voice=account.voice("ash"), response_format="pcm"
            ),
        },
    ),
    "cartesia": Plugin(
        "livekit.plugins.cartesia",
        "CARTESIA_API_KEY",
        "cartesia_base_url",
        "https://api.cartesia.ai",
        {"X-API-Key": "{key}", "Cartesia-Version": "2025-04-16"},
        "/voices?limit=1",
        {"stt": _cartesia_stt, "tts": _cartesia_tts},
        voice_probe=True,
    ),
    "elevenlabs": Plugin(
        "livekit.plugins.elevenlabs",
        "ELEVEN_API_KEY",
        "eleven_base_url",
        "https://api.elevenlabs.io/v1",
        {"xi-api-key": "{key}"},
        "/models",
        {"stt": _eleven_stt, "tts": _eleven_tts},
        voice_probe=True,
    ),
    "deepgram": Plugin(
        "livekit.plugins.deepgram",
        "DEEPGRAM_API_KEY",
        "deepgram_base_url",
        "https://api.deepgram.com",
        {"Authorization": "Token {key}"},
        "/v1/auth/token",
        {"stt": _deepgram_stt, "tts": _deepgram_tts},
    ),
    "assemblyai": Plugin(
        "livekit.plugins.assemblyai",
        "ASSEMBLYAI_API_KEY",
        "assemblyai_base_url",
        "wss://streaming.assemblyai.com",
        {"Authorization": "{key}"},
        # A token for one minute, which only a valid key is given.
        "/v3/token?expires_in_seconds=60",
        {"stt": _assemblyai_stt},
    ),
    # Google's speech models need other credentials and go through LiveKit Inference.
    "google": Plugin(
        "livekit.plugins.google",
        "GOOGLE_API_KEY",
        "google_gemini_base_url",
        "https://generativelanguage.googleapis.com",
        {"x-goog-api-key": "{key}"},
        "/v1beta/models/{model}",
        {"llm": _google_llm},
    ),
    "anthropic": Plugin(
        "livekit.plugins.anthropic",
        "ANTHROPIC_API_KEY",
        "anthropic_base_url",
        "https://api.anthropic.com",
        {"x-api-key": "{key}", "anthropic-version": "2023-06-01"},
        "/v1/models/{model}",
        {"llm": _chat_model},
    ),
    "groq": Plugin(
        "livekit.plugins.groq",
        "GROQ_API_KEY",
        "groq_base_url",
        "https://api.groq.com/openai/v1",
        _BEARER,
        "/models/{model}",
        {
            "stt": _whole_utterance_stt,
            "llm": _chat_model,
            "tts": lambda plugin, account: plugin.TTS(
                **account.common, voice=account.voice("autumn")
            ),
        },
    ),
    "xai": Plugin(
        "livekit.plugins.xai",
        "XAI_API_KEY",
        "xai_base_url",
        "https://api.x.ai/v1",
        _BEARER,
        "/models",
        {
            "stt": _xai_stt,
            "llm": lambda plugin, account: plugin.responses.LLM(**account.common),
            "tts": _xai_tts,
        },
    ),
}
