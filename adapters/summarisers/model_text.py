"""The answer in a model's text, without its reasoning, control tokens, code fences and chatter."""

import json
import math
import re
from typing import Any, cast

_MAX_CHARS = 262_144
_MAX_FAILED_STARTS = 64

_TAGS = r"think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think"
_REASONING = re.compile(
    rf"(?P<start><(?:{_TAGS})\b[^<>]{{0,80}}>|\[THINK\]|◁think▷|<\|(?:begin|start)_of_thought\|>"
    r"|<\|channel>\s*thought|<unused94>|\bhere is my thought process:)"
    rf"|</(?:{_TAGS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<channel\|>|<unused95>"
    r"|\bhere is my response:",
    re.IGNORECASE,
)
"""Where reasoning starts (`start`), and where it ends."""
_BARE_CHANNEL = re.compile(r"\A\s*(?:analysis|commentary)(?![a-z])")
"""A channel of GPT-OSS from a server that removed the control tokens around its name."""
_START_OF_TURN = re.compile(
    r"\A\s*(?:<\|(?:im_start|start_header_id)\|>\s*assistant(?:<\|end_header_id\|>)?"
    r"|<\|assistant\|>|<s>|final<\|message\|>)\s*"
)
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|end|endoftext|return)\|>|</s>|<end_of_turn>"
    r"|<｜end▁of▁sentence｜>"  # noqa: RUF001 - full-width marks are meant
)
_WRAPPER = re.compile(r"</?(?:answer|final|output|response|summary)>", re.IGNORECASE)
_FENCE = re.compile(r"\A```\w*\s*(.*?)\s*```\Z", re.DOTALL)

_PREFACE = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay|absolutely)\b[^\n:]{0,40}?[,.!:]\s*)?"
    r"here(?:'s| is)\b[^\n:.]{0,80}(?::|\.?\n)\s*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"(?:\A|\n)[*_#\s]*summary[*_\s]*(?::[*_]*|\n)\s*", re.IGNORECASE)
_OFFER = re.compile(
    r"\n\s*(?:let me know|is there anything|i hope|feel free|would you like)\b[^\n]*\Z",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"(?:okay|ok|alright|sure|certainly|of course|hmm|wait|please|as an ai)\b|let (?:me|us|'s)\b"
    r"|we (?:need|have|are|should|must)\b|the user (?:wants|asks|asked|is)\b"
    r"|i(?:'\w+| (?:am|will|need|can|cannot|have|should|must|do|would|was|think))\b",
    re.IGNORECASE,
)
"""How a model starts that talks to us instead of writing the summary."""
_MARKUP = re.compile(
    r"\A(?:[\[{<]|(?i:null|none|n/a|true|false|[-+.\d]+)\.?\Z)"
    r"|<[|/]|\|>|</?\w+[^<>]*>|```|\"summary\"\s*:|\[/?(?:INST|TOOL_CALLS?|TOOL_RESULTS?|THINK|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]"
)
"""Data, a tool call, or half an object."""
_REFUSAL = re.compile(
    r"(?:(?:i'm|i am|we're) (?:very |so |really )?sorry|sorry|unfortunately|i apologi[sz]e)?"
    r"[,.]?\s*(?:but )?\s*(?:as an ai[^,.]{0,40}, )?"
    r"i(?:'m| am)? (?:can't|cannot|can not|won't|will not|unable|not able|must decline)\b",
    re.IGNORECASE,
)


def answer_in(text: str) -> str:
    """The text without reasoning and control tokens; empty if there is nothing else."""
    text = _START_OF_TURN.sub("", text[-_MAX_CHARS:])
    if "<|channel|>" in text:
        text = _final_channel(text)
    elif _BARE_CHANNEL.match(text):
        _, _, text = text.rpartition("assistantfinal") if "assistantfinal" in text else ("", "", "")
    text = _END_OF_TURN.split(_without_reasoning(text).strip())[0]
    text = _WRAPPER.sub("", text).strip()
    fenced = _FENCE.match(text)
    return fenced[1] if fenced else text


def _final_channel(text: str) -> str:
    """What GPT-OSS wrote in its last channel named final."""
    answer = ""
    for channel in text.split("<|channel|>")[1:]:
        header, _, said = channel.partition("<|message|>")
        if header.strip().lower().startswith("final"):
            answer = said.partition("<|")[0]
    return answer


def _without_reasoning(text: str) -> str:
    kept: list[str] = []
    position = 0
    reasoning = False
    for mark in _REASONING.finditer(text):
        if mark["start"]:
            if not reasoning:
                kept.append(text[position : mark.start()])
            reasoning = True
        else:
            if not reasoning:
                kept.clear()  # The prompt ended with the start mark: all before is reasoning.
            reasoning = False
            position = mark.end()
    return "".join(kept if reasoning else [*kept, text[position:]])


def json_objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that are the whole text or stand in its prose, last first."""
    try:
        whole: object = _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return _embedded(answer_in(text))
    if isinstance(whole, str):
        return json_objects(whole) if len(whole) < len(text) else []
    found = cast(list[object], whole) if isinstance(whole, list) else [whole]
    return [cast(dict[str, Any], one) for one in reversed(found) if isinstance(one, dict)]


def _embedded(text: str) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = []
    start = text.find("{")
    failures = 0
    while start >= 0 and failures < _MAX_FAILED_STARTS:
        try:
            found, end = _DECODER.raw_decode(text, start)
            objects.insert(0, found)
        except (ValueError, RecursionError):
            failures += 1
            end = start + 1
        start = text.find("{", end)
    return objects


def prose_in(text: str) -> str:
    """The prose that is the answer, without what frames it; empty if it is anything else."""
    prose = _OFFER.sub("", _PREFACE.sub("", answer_in(text)))
    prose = _HEADING.split(prose)[-1].strip()
    if len(prose) > 1 and prose[0] == prose[-1] == '"':
        prose = prose[1:-1].strip()
    plain = _plain(prose)
    return "" if _MARKUP.search(plain) or _CHATTER.match(plain) else prose


def refuses(text: str) -> bool:
    """Whether the text is a refusal to answer."""
    return _REFUSAL.match(_plain(text)) is not None


def _plain(text: str) -> str:
    return text.replace("’", "'")  # noqa: RUF001 - the typographic apostrophe is meant


def _number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_float=_number, parse_constant=_no_number, strict=False)
"""Accepts the raw line breaks that models put into strings, and only numbers that JSON has."""
