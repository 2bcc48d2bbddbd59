"""xAI's voice API: OpenAI's protocol with differences."""

from tests.fakes.realtime.openai import OpenAiRealtime
from tests.fakes.realtime.provider import JSON, Connection


class XaiRealtime(OpenAiRealtime):
    """Tells of a conversation first, repeats transcripts, and speaks given words on request."""

    async def greet(self, connection: Connection) -> None:
        """A connection begins with its conversation."""
        await self.event(connection, "conversation.created", conversation={"id": "conv_1"})

    async def transcribed(self, connection: Connection, item_id: str, text: str) -> None:
        """The caller's words, as far as they are known and then all of them."""
        await self.event(
            connection,
            "conversation.item.input_audio_transcription.updated",
            item_id=item_id,
            transcript=text[: len(text) // 2],
        )
        await super().transcribed(connection, item_id, text)

    async def _item_create(self, connection: Connection, event: JSON) -> None:
        item: JSON = event["item"]
        if item["type"] == "force_message":
            await self.say(connection, item["content"][0]["text"])
        else:
            await super()._item_create(connection, event)
