"""Shows the demo: in colour on a terminal, as plain lines anywhere else."""

import re
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.demo.client import Turn
from stack.demo.evidence import Evidence, Step
from stack.demo.verdict import Check, check

_PLAIN_WIDTH = 160
_PICTURE_WIDTH = 112
# Removed, so that the picture loads nothing from the network.
_FETCHED_FONT = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)


def open_console(*, stderr: bool, record: bool) -> Console:
    """Return the console of the demo; lines in logs are not wrapped."""
    console = Console(stderr=stderr, highlight=False, record=record)
    if record:
        console.width = _PICTURE_WIDTH
    elif not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


class Screen:
    """Shows the call in progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._talk_began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start of the demo."""
        return time.monotonic() - self._began

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        self._console.print(Text(text, style=style))

    def title(self, stage: str) -> None:
        """Say what will happen, and where."""
        self.say()
        self.say(
            "Everline demo: a real call on this machine, recorded speech in, spoken answers out",
            style="bold",
        )
        self._result(True, "stack", stage)

    def show(self, step: Step, seen: Evidence) -> None:
        """Show the result of a step."""
        found = check(step, seen)
        self._result(found.ok, found.step.value, found.detail)
        if step is Step.AUDIO and seen.recording:
            self._continue(f"listen to it: {_from_here(seen.recording)}")
        if step is Step.SUMMARY and seen.summary and seen.summary.text:
            self._continue(f"“{seen.summary.text}”")
        if step is Step.TRANSCRIPT and seen.transcript:
            for number, turn in enumerate(seen.transcript.turns, 1):
                self._utterance(f"{number}.", turn)

    def talk_begins(self) -> None:
        """Introduce the live turns."""
        self._talk_began = time.monotonic()
        self.say("  live turns, from the event stream:", style="dim")

    def turn(self, turn: Turn) -> None:
        """Show a live turn."""
        self._utterance(f"{time.monotonic() - self._talk_began:.1f} s", turn)

    def link(self, title: str, url: str, remark: str) -> None:
        """Show a link on one line, so that it can be clicked and copied."""
        line = Text.assemble((f"  {title:<11} ", "bold"), (url, "blue"), (f"  {remark}", "dim"))
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def conclude(self, checks: list[Check]) -> None:
        """Show the overall result."""
        self.say()
        first = next((found for found in checks if not found.ok), None)
        if first is None:
            self.say(f"Every step succeeded, in {self.seconds:.0f} s.", style="bold green")
        else:
            self.say(f"The demo FAILED at: {first.step.value}", style="bold red")
            self.say(f"  {first.detail}")
            self.say("  See `everline doctor` and `everline logs`.")

    def save_picture(self, path: Path) -> None:
        """Save the output as an SVG; requires a recording console."""
        picture = self._console.export_svg(title="make demo")
        path.write_text(_FETCHED_FONT.sub("", picture), encoding="utf-8")

    def _result(self, ok: bool, title: str, detail: str) -> None:
        mark = Text("✓", style="green") if ok else Text("✗", style="bold red")
        self._row(mark, Text(f"{title:<11}", style="bold"), Text(detail))

    def _continue(self, detail: str) -> None:
        self._row(Text(" "), Text(" " * 11), Text(detail, style="dim"))

    def _utterance(self, head: str, turn: Turn) -> None:
        who = Text("caller", style="cyan") if turn.by_caller else Text("agent ", style="magenta")
        words = Text(turn.text).append(" (interrupted)" if turn.interrupted else "", style="dim")
        self._row(Text(f"  {head:>7}", style="dim"), who, words)

    def _row(self, head: Text, title: Text, detail: Text) -> None:
        """Print three columns, of which only the last one wraps."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(head, title, detail)
        self._console.print(table)


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
