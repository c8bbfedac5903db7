"""An execution's nodes and attempts as bars over time. Pure: envelopes in, lines out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from flyteidl.core.execution_pb2 import TaskExecution

from flightlog_cli.history import place
from flightlog_log import Recorded
from flightlog_protos.execution.v1 import facts_pb2

WAITS, STARTS, RUNS, OPEN = "·", "▒", "█", "─"
LEGEND: Final = f"{WAITS} waits   {STARTS} starts   {RUNS} runs   {OPEN} what is in it goes on"
MOST_NODES: Final = 200
_LONGEST_NAME: Final = 36
_OUTCOMES: Final = {
    "NodeSucceeded": "succeeded",
    "NodeRecovered": "recovered",
    "NodeFailed": "failed",
    "NodeTimedOut": "timed out",
    "NodeAborted": "aborted",
    "NodeSkipped": "skipped",
    "AttemptSucceeded": "succeeded",
    "AttemptFailed": "failed",
    "AttemptAborted": "aborted",
    "ExecutionSucceeded": "succeeded",
    "ExecutionFailed": "failed",
    "ExecutionAborted": "aborted",
}


@dataclass(slots=True)
class _Bar:
    """One row: what it did from when on, until it was over."""

    name: str
    parent: str = ""
    changes: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    end: float | None = None
    outcome: str = ""
    attempts: dict[int, _Bar] = field(default_factory=dict[int, "_Bar"])

    def does(self, what: str, at: float) -> None:
        if self.end is None and (not self.changes or self.changes[-1][1] != what):
            self.changes.append((at, what))

    def ends(self, outcome: str, at: float) -> None:
        self.end = at
        self.outcome = outcome


class Timeline:
    """Takes envelopes in log order; gives the picture of what they say."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._last = 0.0
        self._execution = _Bar("execution")
        self._nodes: dict[str, _Bar] = {}

    def take(self, record: Recorded) -> None:
        """Folds one envelope in."""
        at = record.occurred_at.timestamp()
        if self._begun is None:
            self._begun = at
            self._execution.does(WAITS, 0.0)
        self._last = max(self._last, at - self._begun)
        for fact in record.facts:
            self._fact(fact, at - self._begun)

    def lines(self, width: int) -> Iterator[str]:
        """The picture, at most `width` columns wide where that is possible; nothing without envelopes."""
        if self._begun is None:
            return
        rows = list(self._rows())
        names = max(len(name) for name, _ in rows)
        cells = max(20, width - names - 28)
        scale = max(self._last, 1e-3) / cells
        right = f"{self._last:.2f} s"
        yield f"{'':<{names}}  0{right:>{cells - 1}}"
        for name, bar in rows:
            yield f"{name:<{names}}  {self._drawn(bar, cells, scale)}  {_words(bar, self._last)}".rstrip()
        if len(self._nodes) > MOST_NODES:
            yield f"… and {len(self._nodes) - MOST_NODES} more nodes"
        yield LEGEND

    def _rows(self) -> Iterator[tuple[str, _Bar]]:
        yield self._execution.name, self._execution
        below: defaultdict[str, list[str]] = defaultdict(list)
        for node_id, node in list(self._nodes.items())[:MOST_NODES]:
            below[node.parent if node.parent in self._nodes else ""].append(node_id)
        yield from self._inside("", below, 1)

    def _inside(self, parent: str, below: defaultdict[str, list[str]], depth: int) -> Iterator[tuple[str, _Bar]]:
        for node_id in below[parent]:
            node = self._nodes[node_id]
            yield _short("  " * depth + node.name), node
            if len(node.attempts) > 1:
                for number, attempt in node.attempts.items():
                    yield f"{'  ' * (depth + 1)}try {number + 1}", attempt
            yield from self._inside(node_id, below, depth + 1)

    def _drawn(self, bar: _Bar, cells: int, scale: float) -> str:
        if not bar.changes:
            return " " * cells
        end = self._last if bar.end is None else bar.end
        first = min(int(bar.changes[0][0] / scale), cells - 1)
        # What took no time to speak of is seen nevertheless.
        last = max(first, min(int(end / scale - 1e-9), cells - 1))
        drawn = [_longest(bar.changes, cell * scale, (cell + 1) * scale, end) for cell in range(first, last + 1)]
        return (" " * first + "".join(drawn)).ljust(cells)

    def _fact(self, fact: Any, at: float) -> None:
        name: str = fact.DESCRIPTOR.name
        node_id, attempt = place(fact)
        if not node_id:
            if name in ("ExecutionStarted", "AbortRequested"):
                self._execution.does(OPEN, at)
            elif name in _OUTCOMES:
                self._execution.ends(_OUTCOMES[name], at)
            return
        if isinstance(fact, facts_pb2.NodeQueued | facts_pb2.NodeSkipped):
            label = f"{node_id} {getattr(fact, 'name', '')}".strip()
            self._nodes[node_id] = _Bar(label, fact.parent_node_id)
            self._nodes[node_id].does(WAITS, at)
        node = self._nodes.get(node_id)
        if node is None:
            return
        if attempt is not None:
            self._attempt(node.attempts.setdefault(attempt, _Bar("")), fact, name, at)
        what = _state(fact, name)
        if what:
            node.does(what, at)
        elif name.startswith("Node") and name in _OUTCOMES:
            node.ends(_OUTCOMES[name], at)

    def _attempt(self, bar: _Bar, fact: Any, name: str, at: float) -> None:
        what = _state(fact, name)
        if name in _OUTCOMES:
            bar.ends(_OUTCOMES[name], at)
        elif what:
            bar.does(what, at)


def _state(fact: Any, name: str) -> str:
    """What a node or attempt does from this fact on; "" when it says nothing about that."""
    if isinstance(fact, facts_pb2.AttemptProgressed):
        return RUNS if fact.phase == TaskExecution.RUNNING else STARTS
    match name:
        case "AttemptScheduled":
            return RUNS if fact.in_engine else STARTS
        case "NodeStarted" | "DynamicPlanned" | "ArrayPlanned" | "ChildExecutionRequested" | "BranchTaken":
            return OPEN
        case "AttemptSucceeded" | "AttemptFailed" | "AttemptAborted" | "RetryScheduled" | "SignalAwaited":
            return WAITS
        case _:
            return ""


def _longest(changes: list[tuple[float, str]], begin: float, end: float, over: float) -> str:
    """What was done for the longest part of a cell; of equal ones the last."""
    spent: defaultdict[str, float] = defaultdict(float)
    for number, (since, what) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else over
        if since < end and until >= begin:
            spent[what] += min(until, end) - max(since, begin)
    return max(reversed(spent), key=lambda what: spent[what]) if spent else changes[-1][1]


def _words(bar: _Bar, now: float) -> str:
    begun = bar.changes[0][0] if bar.changes else 0.0
    seconds = (now if bar.end is None else bar.end) - begun
    return f"{seconds:>8.2f} s  {bar.outcome or 'goes on'}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
