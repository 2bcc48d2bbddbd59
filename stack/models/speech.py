"""`/v1/audio/speech`: text to speech, as audio bytes or as server-sent events."""

import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from stack.models.errors import bad_field
from stack.models.loading import LoadedModels, Models
from stack.models.sound import FORMATS, SPEAKING_RATE, SpeechFormat, encode

router = APIRouter()
_log = logging.getLogger("everline.models")


class SpeechRequest(BaseModel):
    """Body of `/v1/audio/speech`, as far as this server reads it."""

    input: str = Field(min_length=1, max_length=4096)
    response_format: SpeechFormat = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"


@router.post("/v1/audio/speech")
async def speak(models: LoadedModels, body: SpeechRequest) -> Response:
    """Say `input`; raw PCM is sent sentence by sentence, other formats as one file."""
    if not body.input.strip():
        raise bad_field("input", "is blank; give the text to say")
    pieces = _audio(models, body)
    # The first piece is made before the headers are sent, so that a 503 can still be returned.
    pieces = _after(await anext(pieces), pieces)
    if body.stream_format == "sse":
        return StreamingResponse(_events(pieces, body), media_type="text/event-stream")
    return StreamingResponse(pieces, media_type=FORMATS[body.response_format][0])


async def _audio(models: Models, body: SpeechRequest) -> AsyncGenerator[bytes]:
    spoken = bytearray()
    with models.voice.admit():
        sentences = models.voice.model.speak(body.input, body.speed)
        while (piece := await models.voice.run(lambda: next(sentences, None))) is not None:
            spoken += piece
            if body.response_format == "pcm":
                yield piece
    _log.info("spoke %.1f s of audio", len(spoken) / 2 / SPEAKING_RATE)
    if body.response_format != "pcm":
        yield encode(bytes(spoken), body.response_format)


async def _after(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    # Closed here rather than by the garbage collector, so that a client that left makes room.
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _events(pieces: AsyncIterator[bytes], body: SpeechRequest) -> AsyncGenerator[str]:
    async for piece in pieces:
        audio = base64.b64encode(piece).decode("ascii")
        yield f"data: {json.dumps({'type': 'speech.audio.delta', 'audio': audio})}\n\n"
    # Words instead of tokens, which this voice does not have.
    count = len(body.input.split())
    usage = {"input_tokens": count, "output_tokens": 0, "total_tokens": count}
    yield f"data: {json.dumps({'type': 'speech.audio.done', 'usage': usage})}\n\n"
