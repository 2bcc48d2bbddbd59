"""`/v1/audio/speech`: text to speech, as audio bytes or as server-sent events."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from stack.models.errors import bad_field
from stack.models.loading import Loaded, models_of
from stack.models.requests import SpeechRequest
from stack.models.sound import MEDIA_TYPES, SPEAKING_RATE, encode

if TYPE_CHECKING:
    from stack.models.voice import Voice

router = APIRouter()
_log = logging.getLogger("everline.models")


@router.post("/v1/audio/speech")
async def speak(request: Request, body: SpeechRequest) -> Response:
    """Say `input`; raw PCM is sent sentence by sentence, other formats as one file."""
    voice = models_of(request).voice
    if not body.input.strip():
        raise bad_field("input", "is blank; give the text to say")
    pieces = _pieces(voice, body)
    if body.response_format == "pcm":
        # The first piece is made before the headers are sent, so that a full lane can return 503.
        first = await anext(pieces)
        pieces = _after(first, pieces)
    else:
        pcm = b"".join([piece async for piece in pieces])
        pieces = _once(encode(pcm, body.response_format))
    if body.stream_format == "sse":
        return StreamingResponse(_events(pieces, body), media_type="text/event-stream")
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[body.response_format])


async def _pieces(voice: Loaded[Voice], body: SpeechRequest) -> AsyncGenerator[bytes]:
    spoken = 0
    with voice.lane.admit():
        sentences = voice.model.speak(body.input, body.speed)
        while (piece := await voice.lane.run(next, sentences, None)) is not None:
            spoken += len(piece)
            yield piece
    _log.info("spoke %.1f s of audio", spoken / 2 / SPEAKING_RATE)


async def _after(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    # Closed here rather than by the garbage collector, so that a client that left frees the lane.
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _once(data: bytes) -> AsyncGenerator[bytes]:
    yield data


async def _events(pieces: AsyncIterator[bytes], body: SpeechRequest) -> AsyncGenerator[str]:
    async for piece in pieces:
        audio = base64.b64encode(piece).decode("ascii")
        yield f"data: {json.dumps({'type': 'speech.audio.delta', 'audio': audio})}\n\n"
    # Words instead of tokens, which this voice does not have.
    count = len(body.input.split())
    usage = {"input_tokens": count, "output_tokens": 0, "total_tokens": count}
    yield f"data: {json.dumps({'type': 'speech.audio.done', 'usage': usage})}\n\n"
