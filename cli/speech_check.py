"""Tests the local speech models with a recorded sentence."""

import asyncio
import importlib.util
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import BaseModel, ValidationError

from stack.demo.lines import Line, read_lines, word_count, wrong_words
from stack.demo.verdict import MOST_WRONG_WORDS
from stack.layout.credentials import generate_credentials
from stack.layout.environment import Addresses, build_environment
from stack.layout.home import Home
from stack.layout.ports import choose_ports
from stack.layout.wanted import Wanted
from stack.supervision.child import Child, describe_exit
from stack.supervision.health import NotHealthyError, http_ok
from stack.supervision.logs import tail

_ANSWER_SECONDS = 60.0
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class SpeechFault(Exception):
    """The speech models do not work; the message says why."""


def are_models_installed() -> bool:
    """Tell whether the packages of the local stack are installed."""
    return importlib.util.find_spec("faster_whisper") is not None


async def try_models(url: str) -> str:
    """Have the server at `url` (without `/v1`) transcribe a recording and its own voice.

    Returns:
        What it recognised, for display.

    Raises:
        SpeechFault: It does not answer, or recognises something else.
    """
    line = read_lines(1)[0]
    timeout = httpx.Timeout(_ANSWER_SECONDS)
    async with httpx.AsyncClient(
        base_url=f"{url}/v1/audio/", trust_env=False, timeout=timeout
    ) as client:
        heard = await _hear(client, line, line.recording.read_bytes(), "a recording")
        speech = {"input": line.says, "response_format": "wav"}
        spoken = await _send(client, client.build_request("POST", "speech", json=speech))
        await _hear(client, line, spoken.content, "the models' own voice")
    return f"heard {heard!r} from a recording and from their own voice"


async def try_models_alone(home: Home, wanted: Wanted, environ: Mapping[str, str]) -> str:
    """Start a models server as the stack would, try it (see `try_models`), and stop it."""
    async with _models(home, wanted, environ) as url:
        return await try_models(url)


class _Transcription(BaseModel):
    text: str


async def _hear(client: httpx.AsyncClient, line: Line, wav: bytes, source: str) -> str:
    form = {"file": ("call.wav", wav, "audio/wav")}
    answer = await _send(client, client.build_request("POST", "transcriptions", files=form))
    try:
        heard = _Transcription.model_validate_json(answer.content).text
    except ValidationError:
        raise SpeechFault(f"{answer.url} answers no transcription: {answer.text[:200]}") from None
    if wrong_words(line.says, heard) > MOST_WRONG_WORDS * word_count(line.says):
        raise SpeechFault(f"{source} says {line.says!r}, and {heard!r} was heard")
    return heard


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    try:
        answer = await client.send(request)
    except httpx.HTTPError as problem:
        raise SpeechFault(f"{request.url} does not answer ({type(problem).__name__})") from None
    if not answer.is_success:
        raise SpeechFault(f"{request.url} answers {answer.status_code}: {answer.text[:200]}")
    return answer


@asynccontextmanager
async def _models(home: Home, wanted: Wanted, environ: Mapping[str, str]) -> AsyncGenerator[str]:
    ports = choose_ports({}, {}, None, pick_free=True)
    addresses = Addresses(ports)
    environment = build_environment(
        "models", home, generate_credentials(), addresses, wanted, environ
    )
    with tempfile.TemporaryDirectory(prefix="everline-doctor-") as folder:
        log = Path(folder) / "models.log"
        command = (sys.executable, "-m", "stack.models")
        child = await Child.start(command, environment, Home(Path(folder)), log)
        try:
            await _until_loaded(child, addresses.models, log)
            yield addresses.models
        finally:
            await child.stop(_STOP_SECONDS)


async def _until_loaded(child: Child, url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return await http_ok(f"{url}/health")(child.started)
        except NotHealthyError as problem:
            if child.exit_code is not None:
                reason = [text for text in tail(log, 20) if " INFO " not in text][-1:]
                ended = f"the process {describe_exit(child.exit_code)}"
                raise SpeechFault(": ".join([ended, *reason])) from None
            if time.monotonic() > deadline:
                raise SpeechFault(f"not loaded after {_START_SECONDS:.0f} s: {problem}") from None
        await asyncio.sleep(0.1)
