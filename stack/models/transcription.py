"""`/v1/audio/transcriptions`: an uploaded recording to text."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from stack.models.errors import ApiProblem, bad_field
from stack.models.loading import Loaded, models_of
from stack.models.sound import AudioTooLong, UnreadableAudio, decode

if TYPE_CHECKING:
    from stack.models.transcriber import Segment, Transcriber, Transcription

router = APIRouter()
_log = logging.getLogger("everline.models")

MAX_UPLOAD_BYTES = 25 * 1024 * 1024
"""As large as OpenAI's own limit."""


@router.post("/v1/audio/transcriptions")
async def transcribe(
    request: Request,
    file: Annotated[UploadFile, File()],
    model: Annotated[str, Form()] = "",
    language: Annotated[str, Form()] = "",
    prompt: Annotated[str, Form(max_length=2000)] = "",
    response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
) -> Response:
    """Recognise speech; the text is empty when nobody speaks in the recording."""
    models = models_of(request)
    transcriber = models.transcriber
    spoken = _language(language, transcriber)
    if file.size is not None and file.size > MAX_UPLOAD_BYTES:
        raise ApiProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"file: at most {MAX_UPLOAD_BYTES >> 20} MiB; send a shorter or compressed recording",
            param="file",
        )
    data = await file.read()
    limit = models.settings.max_audio_seconds

    def hear() -> Transcription:
        return transcriber.model.transcribe(decode(data, max_seconds=limit), spoken, prompt or None)

    try:
        with transcriber.lane.admit():
            heard = await transcriber.lane.run(hear)
    except UnreadableAudio as error:
        raise bad_field("file", f"{error}; send WAV, MP3, Ogg, FLAC or WebM") from error
    except AudioTooLong as error:
        raise bad_field(
            "file", f"{error}, the longest that EVERLINE_MODELS_MAX_AUDIO_SECONDS allows"
        ) from error
    _log.info("heard %.1f s of audio in %d segments", heard.duration, len(heard.segments))
    return _respond(heard, response_format)


def _language(language: str, transcriber: Loaded[Transcriber]) -> str | None:
    code = language.strip().lower().replace("_", "-").split("-")[0]
    if not code:
        return None if transcriber.model.multilingual else "en"
    if not transcriber.model.knows(code):
        raise bad_field(
            "language",
            f"{transcriber.model.name} does not hear {language!r}; leave it out, or set "
            "EVERLINE_MODELS_WHISPER_MODEL to a model that does",
        )
    return code


def _respond(heard: Transcription, response_format: str) -> Response:
    if response_format == "text":
        return PlainTextResponse(f"{heard.text}\n")
    if response_format == "json":
        return JSONResponse({"text": heard.text})
    return JSONResponse(
        {
            "task": "transcribe",
            "language": heard.language,
            "duration": round(heard.duration, 3),
            "text": heard.text,
            "segments": [_describe(i, segment) for i, segment in enumerate(heard.segments)],
        }
    )


def _describe(index: int, segment: Segment) -> dict[str, object]:
    return {
        "id": index,
        "seek": 0,
        "start": round(segment.start, 2),
        "end": round(segment.end, 2),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }
