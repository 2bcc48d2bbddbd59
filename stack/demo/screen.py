"""Shows the demo: in colour on a terminal, as plain lines anywhere else."""

import re
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.demo.answers import Turn
from stack.demo.evidence import Evidence, Step
from stack.demo.verdict import Check, check

_PLAIN_WIDTH = 160
_PICTURE_WIDTH = 112
# Removed, so that the picture loads nothing from the network.
_FETCHED_FONT = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
_STYLES = {"caller": "cyan", "agent": "magenta"}


def open_console(*, stderr: bool = False, record: bool = False) -> Console:
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
        self._began = time.monotonic()
        self._talk_began = self._began

    @property
    def seconds(self) -> float:
        """Time since the start of the demo."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def title(self, stage: str) -> None:
        """Say what will happen, and where."""
        self._console.print()
        self._console.print(
            "Everline demo: a real call on this machine, recorded speech in, spoken answers out",
            style="bold",
        )
        self._row(True, "stack", stage)

    def show(self, step: Step, seen: Evidence) -> None:
        """Show the result of a step."""
        found = check(step, seen)
        self._row(found.ok, found.step.value, found.detail)
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
        self._console.print(Text("  live turns, as the event stream tells them:", style="dim"))

    def turn(self, turn: Turn) -> None:
        """Show a live turn."""
        self._utterance(f"{time.monotonic() - self._talk_began:.1f} s", turn)

    def link(self, title: str, url: str, remark: str = "") -> None:
        """Show a link."""
        # On one line, so that it can be clicked and copied.
        line = Text.assemble((f"  {title:<11} ", "bold"), (url, "blue"))
        if remark:
            line.append(f"  {remark}", "dim")
        self._console.print(line, soft_wrap=True)

    def conclude(self, checks: list[Check]) -> None:
        """Show the overall result."""
        failed = [found for found in checks if not found.ok]
        self._console.print()
        if failed:
            first = failed[0]
            self._console.print(Text(f"The demo FAILED at: {first.step.value}", style="bold red"))
            self._console.print(f"  {first.detail}", markup=False)
            self._console.print("  `everline doctor` and `everline logs` tell more.", markup=False)
        else:
            verdict = f"All of it happened, in {self.seconds:.0f} s."
            self._console.print(Text(verdict, style="bold green"))

    def save_picture(self, path: Path) -> None:
        """Save the output as an SVG; requires a recording console."""
        picture = self._console.export_svg(title="make demo")
        path.write_text(_FETCHED_FONT.sub("", picture), encoding="utf-8")

    def _row(self, ok: bool, title: str, detail: str) -> None:
        mark = Text("✓", style="green") if ok else Text("✗", style="bold red")
        self._grid(mark, Text(f"{title:<11}", style="bold"), Text(detail))

    def _continue(self, detail: str) -> None:
        self._grid(Text(" "), Text(" " * 11), Text(detail, style="dim"))

    def _utterance(self, head: str, turn: Turn) -> None:
        who = "caller" if turn.by_caller else "agent"
        cut = Text(" (interrupted)", style="dim") if turn.interrupted else Text()
        self._grid(
            Text(f"  {head:>7}", style="dim"),
            Text(f"{who:<6}", style=_STYLES[who]),
            Text(turn.text) + cut,
        )

    def _grid(self, *cells: Text) -> None:
        table = Table.grid(padding=(0, 1))
        for _ in cells[:-1]:
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(*cells)
        self._console.print(table)


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
