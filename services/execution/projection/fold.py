"""Facts of executions folded into rows: what each fact changes of what clients see.

`needs` says which stored rows a batch of envelopes will change, `apply` changes them. Nothing here does input or
output, so the shapes clients get are tested by folding hand-made histories. The rules are those of Flyte's events
(admin-contract §4.9–4.11, engine-semantics §6) as far as the recordings show their outcome.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from flightlog_log import Recorded, Subject
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.projection import attempts, elements, executions, nodes, signals
from services.execution.projection.rows import At, NodeKey, Rows, SignalKey, TaskKey
from services.execution.subjects import ExecutionKey

_CHANGES: Mapping[type[Message], Callable[[Rows, At, Any], None]] = {
    facts.ExecutionCreated: executions.created,
    facts.ExecutionWaiting: executions.waiting,
    facts.ExecutionStarted: executions.started,
    facts.ExecutionFailing: executions.failing,
    facts.AbortRequested: executions.abort_requested,
    facts.ExecutionSucceeded: executions.succeeded,
    facts.ExecutionFailed: executions.failed,
    facts.ExecutionAborted: executions.aborted,
    facts.ExecutionStateChanged: executions.state_changed,
    facts.NodeQueued: nodes.queued,
    facts.NodeStarted: nodes.started,
    facts.NodeSucceeded: nodes.succeeded,
    facts.NodeRecovered: nodes.recovered,
    facts.NodeFailed: nodes.failed,
    facts.NodeTimedOut: nodes.timed_out,
    facts.NodeAborted: nodes.aborted,
    facts.NodeSkipped: nodes.skipped,
    facts.DynamicPlanned: nodes.planned,
    facts.ChildExecutionRequested: nodes.child_requested,
    facts.ArrayPlanned: elements.planned,
    facts.ArrayEnded: elements.ended,
    facts.SignalAwaited: signals.awaited,
    facts.SignalSet: signals.given,
    facts.AttemptScheduled: attempts.scheduled,
    facts.AttemptProgressed: attempts.progressed,
    facts.AttemptSucceeded: attempts.succeeded,
    facts.AttemptFailed: attempts.failed,
    facts.AttemptAborted: attempts.aborted,
    facts.RetryScheduled: attempts.retried,
}


@dataclass(frozen=True, slots=True)
class Needs:
    """Keys of stored rows that a batch will read or change."""

    executions: frozenset[ExecutionKey]
    nodes: frozenset[NodeKey]
    tasks: frozenset[TaskKey]
    signals: frozenset[SignalKey]
    # Those of the nodes that are elements of arrays unless they have a row of their own.
    elements: frozenset[NodeKey]


def execution_key(subject: str) -> ExecutionKey:
    """Project, domain and name out of an execution's subject."""
    project, domain, name = Subject.parse(subject).parts
    return project, domain, name


def is_deleted(recorded: Recorded) -> bool:
    """Whether an envelope is the last one of an execution that was deleted: that fact has none beside it."""
    return type(recorded.facts[-1]) is facts.ExecutionDeleted


def apply(rows: Rows, recorded: Recorded) -> None:
    """Folds one envelope in; facts that a row already contains are passed over.

    Raises:
        RowMissing: a fact refers to a row that is neither loaded nor made by this batch.
    """
    apply_to(rows, execution_key(recorded.subject), recorded)


def apply_to(rows: Rows, key: ExecutionKey, recorded: Recorded) -> None:
    """As `apply`, for an execution whose key is known. Raises as it does."""
    if is_deleted(recorded):
        rows.drop(key)
        return
    sequence = recorded.sequence
    for index, fact in enumerate(recorded.facts):
        at = At(key, sequence, index)
        changes = elements.CHANGES if elements.concerns(rows, at, fact) else _CHANGES
        change = changes.get(type(fact))
        if change is not None:
            change(rows, at, fact)


def needs(batch: Sequence[Recorded]) -> Needs:
    """Which stored rows a batch needs: none of executions that the batch creates, whose rows are all made anew."""
    executions_: set[ExecutionKey] = set()
    nodes_: set[NodeKey] = set()
    tasks_: set[TaskKey] = set()
    made: set[NodeKey] = set()
    signals_: set[SignalKey] = set()
    born: set[ExecutionKey] = set()
    for recorded in batch:
        key = execution_key(recorded.subject)
        if key in born:
            continue
        for fact in recorded.facts:
            match fact:
                case facts.ExecutionCreated():
                    born.add(key)
                    break
                case facts.NodeQueued() | facts.NodeSkipped():
                    executions_.add(key)
                    nodes_.add((key, fact.node_id))
                    if fact.parent_node_id:
                        nodes_.add((key, fact.parent_node_id))
                    if isinstance(fact, facts.NodeSkipped) or not fact.HasField("element"):
                        made.add((key, fact.node_id))
                case (
                    facts.AttemptProgressed()
                    | facts.AttemptSucceeded()
                    | facts.AttemptFailed()
                    | facts.AttemptAborted()
                    | facts.ArrayEnded()
                ):
                    nodes_.add((key, fact.node_id))
                    tasks_.add((key, fact.node_id, fact.attempt))
                case (
                    facts.NodeStarted()
                    | facts.NodeSucceeded()
                    | facts.NodeFailed()
                    | facts.NodeTimedOut()
                    | facts.NodeAborted()
                    | facts.DynamicPlanned()
                    | facts.NodeRecovered()
                    | facts.ArrayPlanned()
                    | facts.AttemptScheduled()
                    | facts.ChildExecutionRequested()
                    | facts.ChildExecutionEnded()
                ):
                    nodes_.add((key, fact.node_id))
                case facts.RetryScheduled():
                    nodes_.add((key, fact.node_id))
                    tasks_.add((key, fact.node_id, fact.attempt - 1))
                case facts.SignalAwaited() | facts.SignalSet():
                    signals_.add(signals.key_of(key, fact.signal_id))
                case _ if type(fact) in _CHANGES:
                    executions_.add(key)
                case _:
                    pass
    return Needs(
        frozenset(executions_), frozenset(nodes_), frozenset(tasks_), frozenset(signals_), frozenset(nodes_ - made)
    )
