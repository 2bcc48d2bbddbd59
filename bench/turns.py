"""How long a caller waits for an answer, beside the same engine in a plain LiveKit agent."""

import array
import wave
from collections.abc import Callable
from pathlib import Path

from bench.instant_stand import PATIENCE_SECONDS, InstantStand
from bench.series import Comparison, Series
from stack.demo.caller import Caller
from stack.demo.hearing import SPEECH_LEVEL

LINE = Path(__file__).parent.parent / "stack" / "demo" / "speech" / "2-tomorrow-at-seven.wav"
WARM_UP = 2


async def measure_turns(stand: InstantStand, rounds: int, step: Callable[[], None]) -> Comparison:
    """Measure from the caller's last word to the agent's first sound, in two open calls.

    The calls take turns, so that other load on the machine affects both.
    """
    plain = Series("agent of LiveKit's SDK, without Everline", "ms")
    ours = Series("Everline's agent worker, in a session", "ms")
    async with stand.plain_call() as there, stand.everline_call() as here:
        for _ in range(WARM_UP):
            await _turn(there)
            await _turn(here)
        for _ in range(rounds):
            plain.add(1000 * await _turn(there))
            ours.add(1000 * await _turn(here))
            step()
    return Comparison(
        "a turn: from the caller's last word to the agent's first sound, as the caller hears it",
        plain,
        [ours],
        [
            "models answer instantly; both sides wait for the end of the turn in the same way, so"
            " the difference is the agent",
            f"difference of the medians: {ours.median - plain.median:+.1f} ms",
        ],
    )


async def _turn(caller: Caller) -> float:
    begun = caller.heard.now()
    await caller.play(LINE)
    last_word = caller.heard.now() - _trailing_silence(LINE)
    await caller.wait_until_agent_spoke(begun, PATIENCE_SECONDS)
    first = caller.heard.first_speech(begun)
    if first is None:
        raise AssertionError("speech was waited for")
    return first - last_word


def _trailing_silence(recording: Path) -> float:
    """Seconds after the last sample that counts as speech."""
    with wave.open(str(recording), "rb") as file:
        rate = file.getframerate()
        samples = array.array("h", file.readframes(file.getnframes()))
    loud = 32_768 * SPEECH_LEVEL
    last = max(index for index, sample in enumerate(samples) if abs(sample) > loud)
    return (len(samples) - last) / rate
