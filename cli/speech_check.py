"""Tests the local speech models with a recorded sentence."""

import importlib.util
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import httpx
from rich.console import Console

from stack.demo.lines import Line, read_lines, word_count, wrong_words
from stack.demo.verdict import MOST_WRONG_WORDS
from stack.layout.credentials import generate_credentials
from stack.layout.environment import Addresses, Plan
from stack.layout.home import Home
from stack.layout.parts import all_parts
from stack.layout.ports import choose_ports
from stack.layout.wanted import Wanted
from stack.progress import Progress
from stack.supervision.process_supervisor import PartFailedError, ProcessSupervisor

_ANSWER_SECONDS = 60.0


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


async def try_models_alone(wanted: Wanted, environ: Mapping[str, str]) -> str:
    """Start a models server as the stack would, try it (see `try_models`), and stop it."""
    addresses = Addresses(choose_ports({}, {}, None, pick_free=True))
    with tempfile.TemporaryDirectory(prefix="everline-doctor-") as folder:
        home = Home(Path(folder))
        home.create()
        # The binaries are those of the other parts.
        binaries = defaultdict[str, Path](Path)
        plan = Plan(home, generate_credentials(), addresses, binaries, wanted, environ)
        (part,) = (part for part in all_parts(plan) if part.name == "models")
        silent = Progress(Console(quiet=True))
        models = ProcessSupervisor(part, home, silent, lambda: None, lambda: ())
        try:
            await models.start()
            return await try_models(addresses.models)
        except PartFailedError as failure:
            lines = [line for line in failure.log_tail if " INFO " not in line]
            raise SpeechFault(": ".join([str(failure), *lines[-1:]])) from None
        finally:
            await models.stop()


async def _hear(client: httpx.AsyncClient, line: Line, wav: bytes, source: str) -> str:
    form = {"file": ("call.wav", wav, "audio/wav")}
    answer = await _send(client, client.build_request("POST", "transcriptions", files=form))
    try:
        heard = str(answer.json()["text"])
    except (ValueError, TypeError, KeyError):
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
