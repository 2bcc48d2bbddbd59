"""What clients may send, as far as this server looks at it; unknown fields are ignored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from stack.models.sound import SpeechFormat


class ContentPart(BaseModel):
    """One part of a message; only text parts are read."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """All text of the message, whatever shape it came in."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class JsonSchema(BaseModel):
    """The schema part of a `json_schema` response format."""

    name: str = ""
    json_schema: dict[str, object] = Field(default_factory=dict[str, object], alias="schema")


class ResponseFormat(BaseModel):
    """In which form the answer has to come."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class ChatRequest(BaseModel):
    """Body of `/v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1, max_length=2000)
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=1, ge=1, le=1)
    response_format: ResponseFormat | None = None
    tool_choice: str | dict[str, object] | None = None


class SpeechRequest(BaseModel):
    """Body of `/v1/audio/speech`."""

    input: str = Field(min_length=1, max_length=4096)
    model: str = ""
    voice: object = None
    response_format: SpeechFormat = "mp3"
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
