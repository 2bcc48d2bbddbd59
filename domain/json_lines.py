"""JSON on one line, also for readers that split at Unicode line separators."""

_ESCAPED = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})


def on_one_line(json: str) -> str:
    """The same JSON with NEL, LS and PS escaped; JSON escapes CR and LF itself."""
    return json.translate(_ESCAPED)
