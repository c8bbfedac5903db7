"""`flightlog events`: an execution's history, straight from the log."""

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from flightlog_cli.access import Access, open_log
from flightlog_cli.embedded.child import StackError
from flightlog_cli.history import History, Line, document_of, is_final
from flightlog_log import Log, Recorded, Subject, Unreadable, encode_token

_COLORS = (
    (re.compile("Succeeded$"), "green"),
    (re.compile("Fail|TimedOut"), "red"),
    (re.compile("Abort|Retry|Skipped"), "yellow"),
    (re.compile("^Execution"), "bold"),
)


async def events(data: Path, execution: str, *, follow: bool, as_json: bool) -> None:
    """Print the history of an execution. Raises `StackError` when the log has none of that name."""
    async with open_log(Access.of(data)) as log:
        subject = await find(log, execution)
        await print_history(log, subject, follow=follow, as_json=as_json)


async def find(log: Log, execution: str) -> Subject:
    """The execution's subject, from `project/domain/name` or from its name alone where that is enough.

    Raises `StackError` when there is none, or more than one.
    """
    parts = execution.split("/")
    if len(parts) == 3 and all(parts):
        subject = Subject.of("EXECUTION", *parts)
        if await log.last_sequence(subject) == 0:
            raise StackError(f"The log has no execution {execution}.")
        return subject
    if len(parts) != 1 or not execution:
        raise StackError(f"{execution!r} is neither a name nor project/domain/name.")
    found: Counter[str] = Counter()
    pattern = f"execution.*.*.*.{encode_token(execution)}"
    async with aclosing(_follow(log, pattern, live=False)) as batches:
        async for batch in batches:
            found.update(entry.subject for entry in batch)
    subjects = [Subject.parse(text) for text in sorted(found)]
    if len(subjects) > 1:
        names = ", ".join("/".join(subject.parts) for subject in subjects)
        raise StackError(f"There are several executions {execution}: {names}. Say which.")
    if not subjects:
        raise StackError(f"The log has no execution {execution}.")
    return subjects[0]


async def print_history(
    log: Log, subject: Subject, *, follow: bool, as_json: bool, console: Console | None = None
) -> None:
    """Print what is there; with `follow` go on until the execution has ended."""
    console = console or Console(highlight=False, soft_wrap=True)
    printer = _JsonLines() if as_json else _Table(log, subject, console)
    async with aclosing(_follow(log, str(subject), live=follow)) as batches:
        async for batch in batches:
            await printer.show(batch)
            if follow and any(isinstance(entry, Recorded) and is_final(entry) for entry in batch):
                return


def _follow(log: Log, subjects: str, *, live: bool) -> AsyncGenerator[list[Recorded | Unreadable]]:
    followed = log.follow("EXECUTION", after=0, subjects=subjects, live=live)
    return cast("AsyncGenerator[list[Recorded | Unreadable]]", followed)


class _JsonLines:
    """One JSON document a line, one line an envelope."""

    async def show(self, batch: list[Recorded | Unreadable]) -> None:
        for entry in batch:
            document: dict[str, Any] = (
                document_of(entry)
                if isinstance(entry, Recorded)
                else {"sequence": entry.sequence, "subject": entry.subject, "unreadable": entry.reason}
            )
            print(json.dumps(document, ensure_ascii=False), flush=True)


class _Table:
    """Columns whose widths follow the first batch, so that lines can still be added later."""

    def __init__(self, log: Log, subject: Subject, console: Console) -> None:
        self._log = log
        self._told_by = (Subject.of("LAUNCHER", *subject.parts), Subject.of("CATALOG", "answer", *subject.parts))
        self._subject = subject
        self._console = console
        self._history = History()
        self._widths: dict[str, int] = {}

    async def show(self, batch: list[Recorded | Unreadable]) -> None:
        if any(isinstance(entry, Recorded) and not self._history.knows(entry.envelope.causation_id) for entry in batch):
            for subject in self._told_by:
                self._history.learn(await self._log.load(subject))
        groups = [self._history.lines(entry) if isinstance(entry, Recorded) else entry for entry in batch]
        lines = [line for group in groups if isinstance(group, list) for line in group]
        if not self._widths:
            self._begin(lines)
        for group in groups:
            if isinstance(group, Unreadable):
                self._console.print(Text(f"unreadable message {group.sequence}: {group.reason}", "red"))
                continue
            for line in group:
                self._console.print(self._text(line))

    def _begin(self, lines: list[Line]) -> None:
        self._widths = {
            "fact": max([22, *(len(line.fact) for line in lines)]),
            "node": min(32, max([6, *(len(line.node) for line in lines)])),
            "because": min(44, max([10, *(len(line.because) for line in lines)])),
        }
        started = f"{lines[0].at.astimezone():%Y-%m-%d %H:%M:%S %Z}" if lines else ""
        self._console.print(Text(f"{'/'.join(self._subject.parts)}  {started}", "bold"))
        header = Line(0, lines[0].at, 0.0, "fact", "node", None, "detail", "because") if lines else None
        if header is not None:
            self._console.print(Text(self._columns("  #", "seconds", header, "try"), "dim"))

    def _text(self, line: Line) -> Text:
        first = bool(line.because) or line.position == 0
        number = f"#{line.position}" if first else ""
        attempt = "" if line.attempt is None else str(line.attempt)
        text = Text(self._columns(number, f"+{line.seconds:.3f}", line, attempt))
        color = next((color for pattern, color in _COLORS if pattern.search(line.fact)), "")
        if color:
            start = 4 + 1 + 9 + 2
            text.stylize(color, start, start + len(line.fact))
        return text

    def _columns(self, number: str, seconds: str, line: Line, attempt: str) -> str:
        widths = self._widths
        node = line.node if len(line.node) <= widths["node"] else "…" + line.node[-widths["node"] + 1 :]
        return (
            f"{number:>4} {seconds:>9}  {line.fact:<{widths['fact']}}  {node:<{widths['node']}}  {attempt:>3}  "
            f"{line.because:<{widths['because']}}  {line.detail}"
        ).rstrip()
