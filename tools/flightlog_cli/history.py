"""An execution's facts as lines for people: when, what, to which node, in detail, and because of what.

Pure: facts in, lines out. `Line` is what a renderer needs; `document_of` gives the whole envelope, for machines.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flyteidl.core import execution_pb2, identifier_pb2, tasks_pb2
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_cli.why import printable
from flightlog_log import Recorded, stream_of
from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CacheKey
from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Usage
from flightlog_types import prototext

FINAL = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted"})
"""Facts after which nothing more happens to an execution, but for its state being changed."""
_TEXT_LIMIT = 300


@dataclass(frozen=True)
class Line:
    """One fact."""

    position: int
    """Of its envelope; facts of one decision share it."""
    at: datetime
    seconds: float
    """Since the first fact of the execution."""
    fact: str
    node: str
    attempt: int | None
    detail: str
    because: str
    """What made the decision happen; only on the decision's first fact."""


class History:
    """Turns envelopes into lines, in log order; remembers which event was which, to name causes."""

    def __init__(self) -> None:
        self._begun: datetime | None = None
        self._events: dict[str, str] = {}
        self._timers: set[str] = set()
        self._prefix = ""

    def knows(self, event_id: str) -> bool:
        return event_id in self._events

    def learn(self, observations: Iterable[Recorded]) -> None:
        """What the launcher saw and the catalog answered; decisions name these events as their cause."""
        for record in observations:
            for fact in record.facts:
                if isinstance(fact, AttemptObserved):
                    stage = AttemptObserved.Stage.Name(fact.stage)
                    self._events[record.event_id] = f"launcher: {stage} {fact.node_id}/{fact.attempt}"
                elif isinstance(fact, CacheAnswer):
                    kind = CacheAnswer.Kind.Name(fact.kind)
                    more = f" and {len(record.facts) - 1} more" if len(record.facts) > 1 else ""
                    self._events.setdefault(record.event_id, f"catalog: {kind} {fact.node.node_id}{more}")

    def lines(self, record: Recorded) -> list[Line]:
        """The lines of one envelope."""
        at = record.occurred_at
        if self._begun is None:
            self._begun = at
        position = record.envelope.position
        self._events[record.event_id] = f"#{position}"
        because = self._cause(record)
        lines: list[Line] = []
        for fact in record.facts:
            if isinstance(fact, facts_pb2.TimerSet):
                self._timers.add(record.event_id)
            elif isinstance(fact, facts_pb2.ExecutionCreated):
                self._prefix = f"{fact.config.metadata_prefix}/"
            node, attempt = place(fact)
            lines.append(
                Line(
                    position=position,
                    at=at,
                    seconds=(at - self._begun).total_seconds(),
                    fact=fact.DESCRIPTOR.name,
                    node=node,
                    attempt=attempt,
                    # All data of an execution lies below one place: what differs is what is told.
                    detail=detail(fact).replace(self._prefix, "…/") if len(self._prefix) > 1 else detail(fact),
                    because=because,
                )
            )
            because = ""
        return lines

    def _cause(self, record: Recorded) -> str:
        envelope = record.envelope
        actor = envelope.actor
        known = self._events.get(envelope.causation_id)
        if known is not None:
            return f"alarm of {known}" if envelope.causation_id in self._timers else known
        if actor.method != "service":
            # Without authentication a client that claims no name is known by its user agent alone.
            name = "" if actor.subject == actor.client else actor.subject
            client = actor.client.partition(" ")[0]
            return "request by " + (", ".join(part for part in (name, client) if part) or "somebody")
        return f"event …{envelope.causation_id[-6:]}" if envelope.causation_id else ""


def is_final(record: Recorded) -> bool:
    """Whether the execution ends with this decision."""
    return any(fact.DESCRIPTOR.name in FINAL for fact in record.facts)


def document_of(record: Recorded) -> dict[str, Any]:
    """The whole envelope. Times are RFC 3339 in UTC, names those of the protobuf fields."""
    envelope = record.envelope
    actor: dict[str, Any] = MessageToDict(envelope.actor, preserving_proto_field_name=True)
    return {
        "sequence": record.sequence,
        "position": envelope.position,
        "subject": record.subject,
        "event_id": record.event_id,
        "occurred_at": envelope.occurred_at.ToJsonString(),
        "recorded_at": envelope.recorded_at.ToJsonString(),
        "actor": actor,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "facts": [
            {"fact": fact.DESCRIPTOR.name, **MessageToDict(fact, preserving_proto_field_name=True)}
            for fact in record.facts
        ],
    }


def raw_document_of(record: Recorded) -> dict[str, Any]:
    """The whole envelope with what ties it to the log: its hashes, its trace, where large facts lie."""
    envelope = record.envelope
    document = document_of(record)
    facts = document.pop("facts")
    document |= {
        "stream": stream_of(record.subject),
        "schema_version": envelope.schema_version,
        "traceparent": envelope.traceparent,
        "previous_hash": envelope.previous_hash.hex(),
        "hash": record.head.hash.hex(),
        "erased": record.erased,
    }
    if envelope.HasField("offloaded"):
        document["offloaded"] = MessageToDict(envelope.offloaded, preserving_proto_field_name=True)
    return {**document, "facts": facts}


def place(fact: Message) -> tuple[str, int | None]:
    """Node id and attempt the fact is about: "" and None where it is about the execution as a whole."""
    fields = fact.DESCRIPTOR.fields_by_name
    node: str = fact.node.node_id if isinstance(fact, facts_pb2.CacheAsked) else getattr(fact, "node_id", "")
    return node, getattr(fact, "attempt", None) if "attempt" in fields and node else None


def detail(fact: Message) -> str:
    """What the fact says beyond its name, node and attempt, on one line."""
    describe = _DETAILS.get(fact.DESCRIPTOR.name)
    text = describe(fact) if describe is not None else _plain(fact)
    text = printable(" ".join(text.split()))
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _plain(fact: Message) -> str:
    """Any other fact: its short scalar fields."""
    parts: list[str] = []
    for field, value in fact.ListFields():
        if field.name in ("node_id", "attempt", "occurred_at", "spec_node_id"):
            continue
        if field.message_type is None and not field.is_repeated:
            text = field.enum_type.values_by_number[value].name if field.enum_type is not None else str(value)
            parts.append(f"{field.name} {text}")
        elif isinstance(value, execution_pb2.ExecutionError):
            parts.append(_error(value))
    return ", ".join(parts)


def _created(fact: facts_pb2.ExecutionCreated) -> str:
    parts = [_identifier(fact.workflow_id)]
    if fact.config.HasField("launch_plan"):
        parts.append(f"launch plan {fact.config.launch_plan.name}")
    if fact.spec.metadata.principal:
        parts.append(f"for {fact.spec.metadata.principal}")
    if fact.spec.metadata.HasField("reference_execution"):
        parts.append(f"after {fact.spec.metadata.reference_execution.name}")
    return ", ".join(parts)


def _queued(fact: facts_pb2.NodeQueued) -> str:
    kind = facts_pb2.NodeKind.Name(fact.kind).lower().replace("_", "-")
    return _joined(f"{kind} {fact.name}" if fact.name else kind, "handles the failure" if fact.handles_failure else "")


def _planned(fact: facts_pb2.DynamicPlanned) -> str:
    return _joined(f"workflow {_identifier(fact.workflow_id)}", fact.closure.uri)


def _array_planned(fact: facts_pb2.ArrayPlanned) -> str:
    at_once = f"{fact.parallelism} at once" if fact.parallelism else ""
    needed = f"{fact.min_successes} must succeed" if fact.min_successes < fact.size else ""
    return ", ".join(part for part in (f"{fact.size} elements", at_once, needed) if part)


def _array_ended(fact: facts_pb2.ArrayEnded) -> str:
    phase = execution_pb2.TaskExecution.Phase.Name(fact.phase)
    return _joined(phase, _error(fact.error) if fact.HasField("error") else fact.outputs.uri)


def _scheduled(fact: facts_pb2.AttemptScheduled) -> str:
    where = "in the engine" if fact.in_engine else f"image {fact.container_image}" if fact.container_image else ""
    requests = [
        f"{tasks_pb2.Resources.ResourceName.Name(entry.name).lower()} {entry.value}"
        for entry in fact.resources.requests
    ]
    return ", ".join(part for part in (f"task {_identifier(fact.task_id)}", where, *requests) if part)


def _progressed(fact: facts_pb2.AttemptProgressed) -> str:
    phase = execution_pb2.TaskExecution.Phase.Name(fact.phase)
    return f"{phase}: {fact.reason}" if fact.reason else phase


def _attempt_succeeded(fact: facts_pb2.AttemptSucceeded) -> str:
    return _joined(fact.outputs.uri, _usage(fact.usage))


def _attempt_failed(fact: facts_pb2.AttemptFailed) -> str:
    return _joined(_error(fact.error), "may be retried" if fact.recoverable else "", _usage(fact.usage))


def _attempt_aborted(fact: facts_pb2.AttemptAborted) -> str:
    return _joined(fact.reason, "not waited for" if fact.abandoned else "", _usage(fact.usage))


def _recovered(fact: facts_pb2.NodeRecovered) -> str:
    source = fact.source
    return _joined(f"ran as {source.node_id} of {source.execution_id.name}", fact.outputs.uri)


def _child_requested(fact: facts_pb2.ChildExecutionRequested) -> str:
    recovers = f"recovers {fact.recovers.name}" if fact.HasField("recovers") else ""
    return _joined(f"execution {fact.execution_id.name} of launch plan {_identifier(fact.launch_plan)}", recovers)


def _child_aborting(fact: facts_pb2.ChildExecutionAborting) -> str:
    return _joined(f"execution {fact.execution_id.name}", fact.reason)


def _child_ended(fact: facts_pb2.ChildExecutionEnded) -> str:
    phase = execution_pb2.WorkflowExecution.Phase.Name(fact.phase)
    return _joined(phase, _error(fact.error) if fact.HasField("error") else fact.outputs.uri)


def _retry(fact: facts_pb2.RetryScheduled) -> str:
    wait = fact.due.ToMilliseconds() - fact.occurred_at.ToMilliseconds()
    return f"in {wait / 1000:.1f} s, {fact.system_failures} system failures so far"


def _timer(fact: facts_pb2.TimerSet) -> str:
    return f"{facts_pb2.TimerKind.Name(fact.kind).lower().replace('_', ' ')} at {_clock(fact.due)}"


def _waiting(fact: facts_pb2.ExecutionWaiting) -> str:
    return "for " + ", ".join(fact.limits)


def _abort(fact: facts_pb2.AbortRequested) -> str:
    return _joined(fact.cause, f"by {fact.principal}" if fact.principal else "", "by force" if fact.force else "")


def _of_outputs(fact: facts_pb2.ExecutionSucceeded) -> str:
    return fact.outputs.uri


def _node_succeeded(fact: facts_pb2.NodeSucceeded) -> str:
    if not fact.HasField("catalog_key"):
        return fact.outputs.uri
    status = CatalogCacheStatus.Name(fact.cache_status)
    source = fact.catalog_key.source_task_execution.node_execution_id
    made = f" by {source.node_id} of {source.execution_id.name}" if source.node_id else ""
    return _joined(status + made, fact.outputs.uri)


def _asked(fact: facts_pb2.CacheAsked) -> str:
    return _cache_key(fact.node.cache.key)


def _of_key(fact: facts_pb2.ReservationAsked | facts_pb2.ReservationReleased) -> str:
    return _cache_key(fact.key)


def _put(fact: facts_pb2.CachePutRequested) -> str:
    return _joined(_cache_key(fact.key), "overwrites" if fact.overwrites else "", fact.outputs.uri)


def _cache_key(key: CacheKey) -> str:
    return f"{key.dataset.name} {key.dataset.version}, {key.tag}"


def _of_error(fact: facts_pb2.NodeFailed | facts_pb2.ExecutionFailed | facts_pb2.ExecutionFailing) -> str:
    return _error(fact.error)


def _branch_taken(fact: facts_pb2.BranchTaken) -> str:
    return _joined(f"arm {fact.spec_node_id}", f"case {fact.case}" if fact.HasField("case") else "else")


def _signal_awaited(fact: facts_pb2.SignalAwaited) -> str:
    return f"signal {fact.signal_id} of type {prototext(fact.type)}"


def _signal_set(fact: facts_pb2.SignalSet) -> str:
    return _joined(
        f"signal {fact.signal_id}: {prototext(fact.value)}", f"by {fact.principal}" if fact.principal else ""
    )


def _slot(fact: facts_pb2.SlotAsked | facts_pb2.SlotReturned) -> str:
    return f"place in {fact.root.name}"


def _lent(fact: facts_pb2.SlotQueued | facts_pb2.SlotGranted | facts_pb2.SlotFreed) -> str:
    return f"place for {fact.node.node_id} of {fact.node.execution_id.name}"


_DETAILS: dict[str, Callable[[Any], str]] = {
    "ExecutionCreated": _created,
    "ExecutionWaiting": _waiting,
    "ExecutionSucceeded": _of_outputs,
    "ExecutionFailing": _of_error,
    "ExecutionFailed": _of_error,
    "AbortRequested": _abort,
    "ExecutionDeleted": lambda fact: fact.reason,
    "NodeQueued": _queued,
    "DynamicPlanned": _planned,
    "ArrayPlanned": _array_planned,
    "ArrayEnded": _array_ended,
    "NodeSucceeded": _node_succeeded,
    "NodeFailed": _of_error,
    "AttemptScheduled": _scheduled,
    "AttemptProgressed": _progressed,
    "AttemptSucceeded": _attempt_succeeded,
    "AttemptFailed": _attempt_failed,
    "AttemptAborted": _attempt_aborted,
    "NodeRecovered": _recovered,
    "ChildExecutionRequested": _child_requested,
    "ChildExecutionAborting": _child_aborting,
    "ChildExecutionEnded": _child_ended,
    "CacheAsked": _asked,
    "ReservationAsked": _of_key,
    "ReservationReleased": _of_key,
    "CachePutRequested": _put,
    "BranchTaken": _branch_taken,
    "SignalAwaited": _signal_awaited,
    "SignalSet": _signal_set,
    "SlotAsked": _slot,
    "SlotReturned": _slot,
    "SlotQueued": _lent,
    "SlotGranted": _lent,
    "SlotFreed": _lent,
    "RetryScheduled": _retry,
    "TimerSet": _timer,
}


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _identifier(identifier: identifier_pb2.Identifier) -> str:
    return f"{identifier.name}@{identifier.version}" if identifier.version else identifier.name


def _error(error: execution_pb2.ExecutionError) -> str:
    """Code and last line of the message: of a traceback that is the exception itself."""
    lines = [line for line in error.message.strip().splitlines() if line.strip()]
    kind = execution_pb2.ExecutionError.ErrorKind.Name(error.kind)
    return f"{kind} {error.code}: {lines[-1].strip() if lines else ''}".strip()


def _usage(usage: Usage) -> str:
    parts: list[str] = []
    if usage.HasField("wall_time"):
        parts.append(f"took {_seconds(usage.wall_time):.2f} s")
    if usage.HasField("cpu_time"):
        parts.append(f"cpu {_seconds(usage.cpu_time):.2f} s")
    if usage.peak_memory_bytes:
        parts.append(f"memory {usage.peak_memory_bytes / 2**20:.0f} MB")
    return ", ".join(parts)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _clock(moment: Timestamp) -> str:
    return moment.ToDatetime().strftime("%H:%M:%S.%f")[:-3]
