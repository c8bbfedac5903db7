"""What is told of a rebuild under way."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from flightlog_cli.rebuild_progress import Lines, progress_on
from flightlog_read import RebuildProgress


def test_without_a_terminal_each_tenth_and_each_step_is_a_line() -> None:
    output = StringIO()
    seconds = iter(range(100))
    lines = Lines(Console(file=output), clock=lambda: float(next(seconds)))
    for sequence in range(0, 1001, 10):
        lines.report(RebuildProgress("execution", sequence, 1000))
    lines.report(RebuildProgress("execution", 1000, 1000, "making indexes"))
    said = output.getvalue().splitlines()
    assert len(said) == 12
    assert said[0] == "execution: reading the log, 0 of 1000 (0 %)"
    assert said[5].startswith("execution: reading the log, 500 of 1000 (50 %), ")
    assert said[5].endswith(" s left")
    assert said[-1] == "execution: making indexes, 1000 of 1000 (100 %)"


def test_an_empty_log_is_all_of_it() -> None:
    output = StringIO()
    Lines(Console(file=output)).report(RebuildProgress("registry", 0, 0))
    assert output.getvalue() == "registry: reading the log, 0 of 0 (100 %)\n"


def test_on_a_terminal_it_is_a_bar() -> None:
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with progress_on(console) as report:
        report(RebuildProgress("execution", 250, 1000))
        report(RebuildProgress("execution", 1000, 1000, "comparing"))
    assert "100 %" in output.getvalue()
    assert "comparing" in output.getvalue()
