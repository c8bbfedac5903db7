"""How far a rebuild is, on the terminal: a bar with percent, rate and time left; plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from flightlog_read import RebuildProgress

_PLAIN_PARTS = 10

Report = Callable[[RebuildProgress], None]


class _Rate(ProgressColumn):
    """Messages a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def progress_on(console: Console) -> Generator[Report]:
    """What a rebuild reports to while the block lasts."""
    if not console.is_terminal:
        yield Lines(console).report
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[step]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(step: RebuildProgress) -> None:
            if step.projection not in tasks:
                tasks[step.projection] = bars.add_task(step.projection, total=step.target, step=step.step)
            bars.update(tasks[step.projection], completed=step.sequence, total=step.target, step=step.step)

        yield report


class Lines:
    """A line whenever another step begins, and for each tenth of the log."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began: dict[str, float] = {}
        self._said: dict[str, tuple[str, int]] = {}

    def report(self, step: RebuildProgress) -> None:
        """Says where a projection is, if that is worth a line."""
        part = _PLAIN_PARTS * step.sequence // step.target if step.target else _PLAIN_PARTS
        if self._said.get(step.projection) == (step.step, part):
            return
        self._said[step.projection] = (step.step, part)
        seconds = self._clock() - self._began.setdefault(step.projection, self._clock())
        rate = step.sequence / seconds if seconds else 0.0
        left = (step.target - step.sequence) / rate if rate else 0.0
        percent = 100 * step.sequence // step.target if step.target else 100
        line = f"{step.projection}: {step.step}, {step.sequence} of {step.target} ({percent} %)"
        if rate and step.sequence < step.target:
            line += f", {rate:,.0f}/s, {left:.0f} s left"
        self._console.print(line, highlight=False, soft_wrap=True)
