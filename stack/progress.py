"""What a person sees while things are prepared, started and stopped."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

_REMIND_EVERY = 15.0


@contextmanager
def _as_far_as_it_can_be_shown() -> Generator[None]:
    """Go on where a terminal is closed or a disk is full.

    What is shown here tells of work that must not end with it: parts being kept alive or stopped.
    """
    with suppress(OSError):
        yield


class Step:
    """One thing under way: a build, a process that starts or stops."""

    def __init__(self, title: str, detail: str) -> None:
        self.title = title
        self.detail = detail
        self.began = time.monotonic()
        self.reminded = self.began

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.monotonic() - self.began


class Progress:
    """Shows steps: spinners that tick on a terminal, plain lines anywhere else.

    `remind` is to be called now and then, so that a long step in a plain log shows that it is
    alive; `close` at the end, so that the terminal is left as it was.
    """

    def __init__(self, console: Console, log: Path | None = None) -> None:
        """Show on `console`; where a log is given, its whole lines are kept there as well."""
        self._console = console
        self._log = log
        self._steps: list[Step] = []
        # Kept off dumb terminals and logs: there, whole lines are worth more than a moving picture.
        self._live = (
            Live(get_renderable=self._picture, console=console, transient=True)
            if console.is_terminal and not console.is_dumb_terminal
            else None
        )

    def close(self) -> None:
        """Take away what moves."""
        self._steps.clear()
        self._rest()

    def say(self, text: str, kept: str | None = None) -> None:
        """Print a line of its own; square brackets in it are printed as they are.

        Args:
            text: The line.
            kept: What the log gets in its place, if the line holds a secret.
        """
        self._show(escape(text))
        self._keep(text if kept is None else kept)

    def begin(self, title: str, detail: str = "") -> Step:
        """Show that something began."""
        step = Step(title, detail)
        self._steps.append(step)
        if self._live is None:
            self.say(f"… {title}  {detail}".rstrip())
        elif not self._live.is_started:
            with _as_far_as_it_can_be_shown():
                self._live.start()
        return step

    def done(self, step: Step, detail: str = "") -> None:
        """Show that it succeeded, and how long it took."""
        self._finish(step, "[green]✓[/green]", detail)

    def fail(self, step: Step, reason: str) -> None:
        """Show that it failed, and why."""
        self._finish(step, "[red]✗[/red]", reason)

    def drop(self, step: Step) -> None:
        """Forget a step that is neither done nor failed, because everything is being stopped."""
        if step in self._steps:
            self._steps.remove(step)
        if not self._steps:
            self._rest()

    def _rest(self) -> None:
        if self._live:
            with _as_far_as_it_can_be_shown():
                self._live.stop()

    @contextmanager
    def step(self, title: str, detail: str = "") -> Generator[Step]:
        """Show a step for as long as the block runs."""
        step = self.begin(title, detail)
        try:
            yield step
        except BaseException:
            self.fail(step, "did not succeed")
            raise
        self.done(step)

    def remind(self) -> None:
        """Where nothing ticks, say every 15 s that a long step is still under way."""
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
        self._show(line)
        self._keep(Text.from_markup(line).plain)

    def _show(self, markup: str) -> None:
        with _as_far_as_it_can_be_shown():
            self._console.print(markup, highlight=False, soft_wrap=True)

    def _keep(self, text: str) -> None:
        if self._log is not None:
            with _as_far_as_it_can_be_shown(), self._log.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")

    def _picture(self) -> RenderableType:
        return Group(
            *(
                Spinner(
                    "dots",
                    Text.assemble(
                        (f"{step.title:<12}", "bold"),
                        (f" {step.seconds:5.1f} s  ", "dim"),
                        step.detail,
                    ),
                )
                for step in self._steps
            )
        )
