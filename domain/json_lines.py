"""JSON that stays on its line, whatever its reader takes for the end of one."""

_ESCAPED = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})


def on_one_line(json: str) -> str:
    """The same JSON without characters that many readers end a line at beside CR and LF.

    JSON escapes control characters below U+0020 itself, and these can only be inside of texts.
    """
    return json.translate(_ESCAPED)
