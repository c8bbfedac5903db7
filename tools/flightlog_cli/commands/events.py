"""`flightlog events`: what happened to an execution, in a project or on a stream, straight from the log."""

import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from flightlog_cli.access import Access, open_log
from flightlog_cli.embedded.child import StackError
from flightlog_cli.history import History, Line, detail, document_of, is_final, place, raw_document_of
from flightlog_cli.timeline import Timeline
from flightlog_log import Log, Recorded, Subject, Unreadable, encode_token
from flightlog_protos.history.v1.events_pb2 import EventFilter
from flightlog_rpc import RpcError
from services.history.events.selection import Selection

VIEWS = ("compact", "timeline", "raw")

_COLORS = (
    (re.compile("Succeeded$"), "green"),
    (re.compile("Fail|TimedOut"), "red"),
    (re.compile("Abort|Retry|Skipped"), "yellow"),
    (re.compile("^Execution"), "bold"),
)


async def events(data: Path, execution: str, asked: EventFilter, *, view: str, follow: bool, as_json: bool) -> None:
    """Print what happened: to an execution, or where none is named, everything that is asked for.

    Args:
        asked: another stream than EXECUTION, and which of its events.
        view: `compact`, `timeline` or `raw`.

    Raises `StackError` when the log has no execution of that name, or nothing can be selected or drawn like that.
    """
    if view not in VIEWS:
        raise StackError(f"There is no view {view!r}; there are {', '.join(VIEWS)}.")
    if not (execution or asked.stream or asked.project or asked.domain or asked.facts):
        raise StackError("Name an execution, or say which events: --project, --domain, --fact, --stream.")
    # Of an execution, its own events are told by those who know all about these.
    plain = not (asked.stream or asked.facts)
    async with open_log(Access.of(data)) as log:
        subject = await find(log, execution) if execution else None
        if view == "timeline":
            if subject is None or not plain:
                raise StackError("Only an execution's own events can be drawn as a timeline: name one.")
            await _draw(log, subject, follow=follow)
        elif subject is not None and plain:
            await print_history(log, subject, follow=follow, as_json=as_json, raw=view == "raw")
        else:
            if subject is not None:
                asked.project, asked.domain, asked.name = subject.parts
            await _print_selected(log, asked, view=view, follow=follow, as_json=as_json)


async def _draw(log: Log, subject: Subject, *, follow: bool) -> None:
    """Draw an execution; with `follow` when it has ended."""
    timeline = Timeline()
    over = False
    async with aclosing(_follow(log, str(subject), live=follow)) as batches:
        async for batch in batches:
            for entry in batch:
                if isinstance(entry, Recorded):
                    timeline.take(entry)
                    over = over or is_final(entry)
            if follow and over:
                break
    for line in timeline.lines(shutil.get_terminal_size().columns):
        print(line)


async def _print_selected(log: Log, asked: EventFilter, *, view: str, follow: bool, as_json: bool) -> None:
    try:
        selection = Selection.of(asked)
    except RpcError as error:
        raise StackError(error.message) from None
    printer = _JsonLines(raw=view == "raw", indented=not as_json) if as_json or view == "raw" else StreamLines()
    stored = log.follow_stored(selection.stream, after=0, subjects=selection.subjects, live=follow)
    async with aclosing(stored) as batches:
        async for batch in batches:
            entries = [await log.decoded(raw) for raw in batch if selection.may_have(raw)]
            await printer.show([entry for entry in entries if selection.has(entry)])


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
    log: Log, subject: Subject, *, follow: bool, as_json: bool, raw: bool = False, console: Console | None = None
) -> None:
    """Print what is there; with `follow` go on until the execution has ended."""
    console = console or Console(highlight=False, soft_wrap=True)
    printer = _JsonLines(raw=raw, indented=not as_json) if as_json or raw else _Table(log, subject, console)
    async with aclosing(_follow(log, str(subject), live=follow)) as batches:
        async for batch in batches:
            await printer.show(batch)
            if follow and any(isinstance(entry, Recorded) and is_final(entry) for entry in batch):
                return


def _follow(log: Log, subjects: str, *, live: bool) -> AsyncGenerator[list[Recorded | Unreadable]]:
    followed = log.follow("EXECUTION", after=0, subjects=subjects, live=live)
    return cast("AsyncGenerator[list[Recorded | Unreadable]]", followed)


class _JsonLines:
    """One JSON document an envelope: on one line, or indented for people."""

    def __init__(self, *, raw: bool = False, indented: bool = False) -> None:
        self._document = raw_document_of if raw else document_of
        self._indent = 2 if indented else None

    async def show(self, batch: list[Recorded | Unreadable]) -> None:
        for entry in batch:
            document: dict[str, Any] = (
                self._document(entry)
                if isinstance(entry, Recorded)
                else {"sequence": entry.sequence, "subject": entry.subject, "unreadable": entry.reason}
            )
            print(json.dumps(document, ensure_ascii=False, indent=self._indent), flush=True)


class StreamLines:
    """One line a fact, of whatever aggregate it is."""

    async def show(self, batch: list[Recorded | Unreadable]) -> None:
        for entry in batch:
            for line in stream_lines(entry):
                print(line, flush=True)


def stream_lines(entry: Recorded | Unreadable) -> list[str]:
    """Sequence, time, aggregate and the facts, the aggregate's name on the first line alone."""
    parts = entry.subject.split(".", 2)[-1]
    with suppress(ValueError):
        parts = "/".join(Subject.parse(entry.subject).parts)
    if isinstance(entry, Unreadable):
        return [f"{entry.sequence:>8} unreadable message of {parts}: {entry.reason}"]
    head = f"{entry.sequence:>8} {entry.occurred_at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {parts}"
    told: list[str] = []
    for fact in entry.facts:
        node, attempt = place(fact)
        where = f"{node}/{attempt}" if attempt is not None else node
        told.append("  ".join(part for part in (fact.DESCRIPTOR.name, where, detail(fact)) if part))
    return [f"{head}  {told[0]}", *(f"{'':>{34}}{line}" for line in told[1:])] if told else [head]


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
