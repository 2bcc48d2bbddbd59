"""What each provider was told at the beginning of a session, in common words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from tests.fakes.realtime import Connection, FakeProvider

JSON = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The beginning of a session."""

    key: str
    model: str
    voice: str
    prompt: str
    tools: list[str]
    history: list[tuple[str, str]]
    """Role (`user` or `assistant`) and text of what was said before."""


def seen(provider: str, connection: Connection) -> Seen:
    """What a connection to this provider began with."""
    return _READERS[provider](connection)


async def beginning(provider: str, fake: FakeProvider) -> Connection:
    """The latest connection, once the provider has received all that a session begins with.

    The first answer, which the agent waits for, comes before that.
    """
    updates = 3 if provider in ("openai", "xai") else 0  # options, prompt, tools

    def complete() -> bool:
        if not fake.connections:
            return False
        latest = fake.latest
        return bool(len(latest.of("session.update")) >= updates if updates else latest.setup)

    await fake.wait_for(complete)
    return fake.latest


def session_of(connection: Connection) -> JSON:
    """All `session.update`s of a connection as one."""
    merged: JSON = {}
    for event in connection.of("session.update"):
        merged = _merged(merged, event["session"])
    return merged


def _openai(connection: Connection) -> Seen:
    session = session_of(connection)
    items = [event["item"] for event in connection.of("conversation.item.create")]
    return Seen(
        key=connection.headers["Authorization"].removeprefix("Bearer "),
        model=connection.query["model"],
        voice=session.get("voice") or session["audio"]["output"]["voice"],
        prompt=session["instructions"],
        tools=[tool["name"] for tool in session.get("tools", [])],
        history=[
            (item["role"], item["content"][0]["text"])
            for item in items
            if item["type"] == "message"
        ],
    )


def _gemini(connection: Connection) -> Seen:
    setup = connection.setup
    voice = setup["generationConfig"]["speechConfig"]["voiceConfig"]
    told = [
        message["clientContent"] for message in connection.received if "clientContent" in message
    ]
    return Seen(
        key=connection.headers["x-goog-api-key"],
        model=setup["model"].removeprefix("models/"),
        voice=voice["prebuiltVoiceConfig"]["voiceName"],
        prompt=setup["systemInstruction"]["parts"][0]["text"],
        tools=[
            function["name"]
            for tool in setup.get("tools", [])
            for function in tool["functionDeclarations"]
        ],
        history=[
            ("assistant" if turn["role"] == "model" else turn["role"], part["text"])
            for content in told
            if not content["turnComplete"]
            for turn in content["turns"]
            for part in turn["parts"]
        ],
    )


def _ultravox(connection: Connection) -> Seen:
    setup = connection.setup
    roles = {"MESSAGE_ROLE_USER": "user", "MESSAGE_ROLE_AGENT": "assistant"}
    return Seen(
        key=connection.headers["X-API-Key"],
        model=setup["model"],
        voice=setup["voice"],
        prompt=setup["systemPrompt"],
        tools=[tool["temporaryTool"]["modelToolName"] for tool in setup["selectedTools"]],
        history=[
            (roles[message["role"]], message["text"])
            for message in setup.get("initialMessages", [])
        ],
    )


_READERS: Mapping[str, Callable[[Connection], Seen]] = {
    "openai": _openai,
    "xai": _openai,
    "google": _gemini,
    "ultravox": _ultravox,
}


def _merged(old: JSON, new: JSON) -> JSON:
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            result[name] = _merged(cast(JSON, before), cast(JSON, value))
        else:
            result[name] = value
    return result
