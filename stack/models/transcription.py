"""`/v1/audio/transcriptions`: an uploaded recording to text."""

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from stack.models.errors import bad_field
from stack.models.loading import LoadedModels
from stack.models.sound import UnreadableAudio, decode

if TYPE_CHECKING:
    from stack.models.transcriber import Transcriber, Transcription

router = APIRouter()
_log = logging.getLogger("everline.models")

MAX_UPLOAD_BYTES = 25 * 1024 * 1024
"""As large as OpenAI's own limit."""


@router.post("/v1/audio/transcriptions")
async def transcribe(
    models: LoadedModels,
    file: Annotated[UploadFile, File()],
    language: Annotated[str, Form()] = "",
    prompt: Annotated[str, Form(max_length=2000)] = "",
    response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
) -> Response:
    """Recognise speech; the text is empty when nobody speaks in the recording."""
    transcriber = models.transcriber
    spoken = _language(language, transcriber.model)
    if file.size is not None and file.size > MAX_UPLOAD_BYTES:
        raise bad_field(
            "file",
            f"at most {MAX_UPLOAD_BYTES >> 20} MiB; send a shorter or compressed recording",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    data = await file.read()

    def transcribe() -> "Transcription":
        samples = decode(data, max_seconds=models.settings.max_audio_seconds)
        return transcriber.model.transcribe(samples, spoken, prompt or None)

    try:
        with transcriber.admit():
            heard = await transcriber.run(transcribe)
    except UnreadableAudio as error:
        raise bad_field("file", str(error)) from error
    _log.info("heard %.1f s of audio in %d segments", heard.duration, len(heard.segments))
    match response_format:
        case "text":
            return PlainTextResponse(f"{heard.text}\n")
        case "json":
            return JSONResponse({"text": heard.text})
        case "verbose_json":
            return JSONResponse(heard.model_dump())


def _language(given: str, transcriber: "Transcriber") -> str | None:
    code = given.strip().lower().replace("_", "-").split("-")[0]
    if code and not transcriber.knows(code):
        raise bad_field(
            "language",
            f"{transcriber.name} does not know {given!r}; leave it out, or set "
            "EVERLINE_MODELS_WHISPER_MODEL to a model that does",
        )
    return code or None
