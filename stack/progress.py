"""What the terminal shows while things are built, started and stopped."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_REMIND_EVERY = 15.0


class Step:
    """One operation in progress: a build, a process that starts or stops."""

    def __init__(self, title: str, detail: str) -> None:
        self.title = title
        self.detail = detail
        self.began = self.reminded = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.began


class Progress:
    """Shows steps: spinners on a terminal, plain lines anywhere else.

    Call `remind` regularly, so that a long step shows up in a plain log too. Leaving the context
    restores the terminal. A closed terminal or a full disk never raises: processes that are being
    supervised or stopped must not suffer from it.
    """

    def __init__(self, console: Console, log: Path | None = None) -> None:
        """Print on `console`; append the finished lines to `log` as well."""
        self._console = console
        self._log = log
        self._steps: list[Step] = []
        self._spinner = Spinner("dots")
        self._live = (
            Live(get_renderable=self._render, console=console, transient=True)
            if console.is_terminal and not console.is_dumb_terminal
            else None
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.clear()
        self._stop_live()

    def say(self, text: str, logged: str | None = None) -> None:
        """Print a line, square brackets included; log `logged` instead if it contains a secret."""
        self._print(escape(text), text if logged is None else logged)

    def begin(self, title: str, detail: str = "") -> Step:
        """Show that a step began."""
        step = Step(title, detail)
        self._steps.append(step)
        if self._live is None:
            self.say(f"… {title}  {detail}".rstrip())
        elif not self._live.is_started:
            with suppress(OSError):
                self._live.start()
        return step

    def done(self, step: Step, detail: str = "") -> None:
        """Show that a step succeeded, and how long it took."""
        self._finish(step, "[green]✓[/green]", detail)

    def fail(self, step: Step, reason: str) -> None:
        """Show that a step failed, and why."""
        self._finish(step, "[red]✗[/red]", reason)

    def drop(self, step: Step) -> None:
        """Remove a step without a result, because everything is being stopped."""
        if step in self._steps:
            self._steps.remove(step)
        if not self._steps:
            self._stop_live()

    @contextmanager
    def step(self, title: str, detail: str = "") -> Generator[Step]:
        """Show a step while the block runs."""
        step = self.begin(title, detail)
        try:
            yield step
        except BaseException:
            self.fail(step, "did not succeed")
            raise
        self.done(step)

    def remind(self) -> None:
        """Without spinners, print every 15 s that a long step is still running."""
        if self._live is not None:
            return
        now = time.monotonic()
        for step in self._steps:
            if now - step.reminded >= _REMIND_EVERY:
                step.reminded = now
                self.say(f"… {step.title}  {step.seconds:.0f} s so far  {step.detail}".rstrip())

    def _finish(self, step: Step, mark: str, detail: str) -> None:
        self.drop(step)
        line = f"{mark} {escape(step.title):<12} [dim]{step.seconds:5.1f} s[/dim]  {escape(detail)}"
        self._print(line, Text.from_markup(line).plain)

    def _print(self, markup: str, logged: str) -> None:
        with suppress(OSError):
            self._console.print(markup, highlight=False, soft_wrap=True)
        if self._log is not None:
            with suppress(OSError), self._log.open("a", encoding="utf-8") as file:
                file.write(f"{logged}\n")

    def _stop_live(self) -> None:
        if self._live:
            with suppress(OSError):
                self._live.stop()

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for step in self._steps:
            seconds = Text(f"{step.seconds:5.1f} s", "dim")
            table.add_row(
                self._spinner, Text(f"{step.title:<12}", "bold"), seconds, escape(step.detail)
            )
        return table
