"""The conversation at a restaurant's telephone: every answer repeats what was understood."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stack.models.tabletalk.hearing import Booking, Heard, Intent, Slot, hear
from stack.models.tabletalk.persona import Persona

_QUESTIONS = {
    Slot.PARTY_SIZE: "For how many people?",
    Slot.DAY: "For which day?",
    Slot.TIME: "At what time?",
    Slot.NAME: "What name shall I put it under?",
}
_OFFER = "I can book a table or tell you our opening hours."
_QUOTED = re.compile(r"[\"“]([^\"”]{2,})[\"”]|\bsay\b[^:]*:\s*(.{2,})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Conversation:
    """Where a conversation stands after the caller's turns so far."""

    booking: Booking = field(default_factory=Booking)
    booking_wanted: bool = False
    asked: Slot | None = None


def answer(turns: Sequence[str], persona: Persona, instruction: str | None = None) -> str:
    """What to say next.

    Args:
        turns: Everything the caller has said, oldest first; the last one is answered.
        persona: Who speaks.
        instruction: If given, follow it (greet, apologise, say …) instead of answering a turn.
    """
    conversation, reply = Conversation(), ""
    for turn in turns:
        conversation, reply = take_turn(conversation, turn, persona)
    if instruction is not None or not turns:
        return follow(conversation, instruction or "greet", persona)
    return reply


def take_turn(now: Conversation, text: str, persona: Persona) -> tuple[Conversation, str]:
    """Answer one utterance; returns where the conversation then stands, and the answer."""
    heard = hear(text, now.asked)
    if not heard.text:
        return now, "I did not hear anything. Could you say that again?"
    if Intent.CANCEL in heard.intents:
        return Conversation(), "I have cancelled that. What else can I do for you?"
    if heard.filled or Intent.BOOK in heard.intents:
        now = replace(now, booking=replace(now.booking, **heard.filled), booking_wanted=True)
    if Intent.GOODBYE in heard.intents:
        return replace(now, asked=None), _farewell(now, heard)
    said = _statements(now, heard, persona)
    question = _next_question(now)
    if not said:
        heard_text = heard.text if heard.text[-1] in ".!?" else f"{heard.text}."
        return now, f'I heard: "{heard_text}" {question or _OFFER}'
    if not question and not heard.filled:
        said.append("Is there anything else?" if now.booking_wanted else "How can I help you?")
    asked = now.booking.missing if now.booking_wanted else None
    return replace(now, asked=asked), " ".join([*said, question] if question else said)


def _statements(now: Conversation, heard: Heard, persona: Persona) -> list[str]:
    courtesies = {
        Intent.GREETING: "Hello!",
        Intent.WHO: persona.introduction or "I am the assistant who takes the bookings.",
        Intent.THANKS: "You are welcome.",
        Intent.HOURS: persona.hours,
    }
    said = [text for intent, text in courtesies.items() if intent in heard.intents]
    if heard.filled and now.booking.missing:
        said.append(f"So that is {now.booking}.")
    elif heard.filled:
        said.append(f"I have booked {now.booking}. Is there anything else?")
    elif Intent.RECAP in heard.intents and now.booking_wanted:
        said.append(f"So far I have {now.booking}.")
    elif Intent.BOOK in heard.intents:
        said.append("A table, gladly.")
    elif Intent.YES in heard.intents:
        said.append("Good.")
    elif Intent.NO in heard.intents:
        said.append("All right.")
    return said


def _next_question(now: Conversation) -> str | None:
    missing = now.booking.missing if now.booking_wanted else None
    if missing is Slot.DAY and now.booking.time is None:
        return "For which day, and at what time?"
    return _QUESTIONS[missing] if missing else None


def _farewell(now: Conversation, heard: Heard) -> str:
    opening = "You are welcome." if Intent.THANKS in heard.intents else "Thank you for calling."
    if not now.booking_wanted:
        return f"{opening} Goodbye!"
    verb = "noted" if now.booking.missing else "booked"
    return f"{opening} I have {verb} {now.booking}. Goodbye!"


def follow(now: Conversation, instruction: str, persona: Persona) -> str:
    """Do what an instruction to the agent asks for: say something, greet, take leave, go on."""
    task = instruction.lower()
    if quoted := _QUOTED.search(instruction):
        return " ".join((quoted[1] or quoted[2]).split())
    if re.search(
        r"apolog|sorry|interrupt|cut off|reconnect|resum|where (you|we) left|took over", task
    ):
        so_far = f" So far I have {now.booking}." if now.booking_wanted else ""
        question = _next_question(now) or "How can I go on helping you?"
        return f"Sorry for the interruption.{so_far} {question}"
    if re.search(r"good ?bye|farewell|hang(ing)? up|end the (call|conversation)|take leave", task):
        return _farewell(now, hear(""))
    if re.search(r"\b(greet|welcome|introduc|hello|open the (call|conversation))", task):
        return " ".join(filter(None, ("Hello!", persona.introduction, "How can I help you?")))
    if re.search(r"still there|silen|quiet|not (said|answered|responded)|inactiv", task):
        return f"Are you still there? {_next_question(now) or _OFFER}"
    return _next_question(now) or f"{_OFFER} What would you like?"
