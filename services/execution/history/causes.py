"""Which events say what became of an execution, and what these followed from: down to what the launcher saw.

Every envelope names the event that led to it. That of an attempt's end is an observation of the launcher, which on
Kubernetes holds the pod's own reason; that of an abort is somebody's request, that of a deadline an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from google.protobuf.message import Message

from flightlog_log import Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.history.v1.explanation_pb2 import Explanation
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved

_EXECUTION_ENDS: Final = (facts.ExecutionSucceeded, facts.ExecutionFailed, facts.ExecutionAborted)
_NODE_ENDS: Final = (facts.NodeFailed, facts.NodeTimedOut, facts.NodeAborted)
_ATTEMPT_ENDS: Final = (facts.AttemptFailed, facts.AttemptAborted, facts.AttemptSucceeded, facts.ChildExecutionEnded)
_STEPS: Final = 4

_Attempt = tuple[str, int]


@dataclass(slots=True)
class Causes:
    """The events of one execution, and what the launcher saw of it, by what they are about."""

    _known: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    _end: Recorded | None = None
    _abort: Recorded | None = None
    _nodes: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    _attempts: dict[_Attempt, Recorded] = field(default_factory=dict[_Attempt, Recorded])
    _aborting: dict[_Attempt, Recorded] = field(default_factory=dict[_Attempt, Recorded])
    _seen: dict[tuple[str, int, str], str] = field(default_factory=dict[tuple[str, int, str], str])
    _elements: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    _parents: dict[str, str] = field(default_factory=dict[str, str])
    _last: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of(cls, records: Iterable[Recorded], observations: Iterable[Recorded]) -> Causes:
        """From an execution's own envelopes and the launcher's observations of it, each in the log's order."""
        causes = cls()
        for record in records:
            causes._known[record.event_id] = record
            for fact in record.facts:
                causes._take(record, fact)
        for record in observations:
            causes._known[record.event_id] = record
            for fact in record.facts:
                if isinstance(fact, AttemptObserved) and fact.reason:
                    causes._seen.setdefault((fact.node_id, fact.attempt, fact.reason), record.event_id)
        return causes

    def end(self) -> str:
        """Id of the event with which the execution ended; "" while it goes on."""
        return "" if self._end is None else self._end.event_id

    def node(self, node_id: str) -> str:
        """Id of the event with which a node ended without success; "" when it did not."""
        record = self._nodes.get(node_id)
        return "" if record is None else record.event_id

    def attempt(self, node_id: str, attempt: int) -> str:
        """Id of the event with which an attempt ended; "" while it goes on."""
        record = self._attempts.get((node_id, attempt))
        return "" if record is None else record.event_id

    def reason(self, node_id: str, attempt: int, reason: str) -> str:
        """Id of the observation that gave a reason; "" when nobody outside the engine did."""
        return self._seen.get((node_id, attempt, reason), "")

    def of_abort(self) -> Iterator[Explanation]:
        """Who asked for the execution's end; nothing when nobody did."""
        if self._abort is not None:
            for fact in self._abort.facts:
                if isinstance(fact, facts.AbortRequested):
                    yield _cause(self._abort, fact.DESCRIPTOR.name, f"asked for {_by(self._abort)}: {fact.cause}")

    def of_attempt(self, node_id: str, attempt: int) -> Iterator[Explanation]:
        """What an attempt's end followed from, the nearest first."""
        ended = self._attempts.get((node_id, attempt))
        if ended is not None:
            yield from self._behind(ended, node_id, attempt)
        aborting = self._aborting.get((node_id, attempt))
        if aborting is not None:
            yield from self._stopped(aborting, node_id, attempt)

    def of_elements(self, parent_id: str, most: int) -> Iterator[Explanation]:
        """What the ends of an array's elements followed from: one for each that reads differently."""
        told: set[tuple[str, str]] = set()
        for node_id in self._elements.get(parent_id, ()):
            for cause in self.of_attempt(node_id, self._last.get(node_id, 0)):
                if (cause.name, cause.why) not in told:
                    told.add((cause.name, cause.why))
                    yield cause
            if len(told) >= most:
                return

    def _take(self, record: Recorded, fact: Message) -> None:
        match fact:
            case facts.AbortRequested():
                self._abort = self._abort or record
            case facts.NodeQueued():
                if fact.HasField("element"):
                    self._parents[fact.node_id] = fact.parent_node_id
            case facts.AttemptAborting() | facts.ChildExecutionAborting():
                self._aborting.setdefault((fact.node_id, fact.attempt), record)
            case _ if isinstance(fact, _EXECUTION_ENDS):
                self._end = record
            case _ if isinstance(fact, _NODE_ENDS):
                self._nodes[fact.node_id] = record
                if fact.node_id in self._parents and not isinstance(fact, facts.NodeAborted):
                    self._elements.setdefault(self._parents[fact.node_id], []).append(fact.node_id)
            case _ if isinstance(fact, _ATTEMPT_ENDS):
                self._attempts[fact.node_id, fact.attempt] = record
                self._last[fact.node_id] = fact.attempt
            case _:
                pass

    def _behind(self, record: Recorded, node_id: str, attempt: int) -> Iterator[Explanation]:
        """The observation that an envelope followed from, if it followed from one of this attempt."""
        cause = self._known.get(record.envelope.causation_id)
        for fact in cause.facts if cause is not None else ():
            if cause is not None and isinstance(fact, AttemptObserved) and _is_of(fact, node_id, attempt):
                yield _cause(cause, AttemptObserved.Stage.Name(fact.stage), _words(fact))

    def _stopped(self, record: Recorded, node_id: str, attempt: int) -> Iterator[Explanation]:
        """Why an attempt was told to stop: from that event back to a request, an alarm or another node's end."""
        for fact in record.facts:
            if isinstance(fact, facts.AttemptAborting | facts.ChildExecutionAborting) and _is_of(
                fact, node_id, attempt
            ):
                yield _cause(record, fact.DESCRIPTOR.name, fact.reason)
        for _ in range(_STEPS):
            if record.envelope.actor.method != "service":
                yield _cause(record, "request", f"asked for {_by(record)}")
                return
            told = list(self._because(record))
            yield from told
            cause = self._known.get(record.envelope.causation_id)
            if told or cause is None:
                return
            record = cause

    def _because(self, record: Recorded) -> Iterator[Explanation]:
        """What else an envelope says that others are stopped for, and what that followed from."""
        armed = self._known.get(record.envelope.causation_id)
        for fact in armed.facts if armed is not None else ():
            if armed is not None and isinstance(fact, facts.TimerSet):
                kind = facts.TimerKind.Name(fact.kind)
                due = fact.due.ToJsonString()
                yield _cause(armed, fact.DESCRIPTOR.name, f"{kind} of node {fact.node_id}, due {due}")
                return
        for fact in record.facts:
            if isinstance(fact, facts.NodeFailed | facts.NodeTimedOut):
                yield _cause(record, fact.DESCRIPTOR.name, f"node {fact.node_id}")
                for ended in record.facts:
                    if isinstance(ended, facts.AttemptFailed):
                        yield from self._behind(record, ended.node_id, ended.attempt)
                return


def _is_of(fact: Message, node_id: str, attempt: int) -> bool:
    return getattr(fact, "node_id", None) == node_id and getattr(fact, "attempt", None) == attempt


def _cause(record: Recorded, name: str, why: str) -> Explanation:
    explanation = Explanation(what="cause", name=name, why=why, event_id=record.event_id)
    explanation.since.CopyFrom(record.envelope.occurred_at)
    return explanation


def _words(observed: AttemptObserved) -> str:
    """What the launcher saw, with the runtime's own reason."""
    words: list[str] = []
    if observed.stage == AttemptObserved.EXITED and str(observed.exit.code) not in observed.reason:
        signal = f", signal {observed.exit.signal}" if observed.exit.signal else ""
        memory = ", out of memory" if observed.exit.out_of_memory else ""
        words.append(f"exit code {observed.exit.code}{signal}{memory}")
    if observed.HasField("error"):
        kind = ExecutionError.ErrorKind.Name(observed.error.kind)
        words.append(f"{kind} {observed.error.code}: {observed.error.message}")
    if observed.reason and observed.reason not in "".join(words):
        words.append(observed.reason)
    return "; ".join(words)


def _by(record: Recorded) -> str:
    """By whom something was asked for, as far as anybody can say without authentication."""
    actor = record.envelope.actor
    if actor.method == "service":
        return f"by the {actor.subject} service"
    names = dict.fromkeys(name for name in (actor.subject, actor.client.partition(" ")[0]) if name)
    return f"by {', '.join(names) or 'somebody'}"
