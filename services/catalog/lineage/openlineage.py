"""OpenLineage's events (spec 2-0-2) of an execution and its nodes, made of facts. Pure.

A run is an execution, or a node that runs a task; a map is one run. What was taken from the cache or recovered ran
elsewhere, and has its events there. The same facts give the same events, byte for byte, whenever they are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import LiteralMap
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.lineage_pb2 import LineageEventRecorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.catalog.lineage.datasets import datasets
from services.catalog.lineage.runs import NodeRun, Run
from services.catalog.subjects import ExecutionKey

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
RUN_EVENT: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = {
    "parent": "https://openlineage.io/spec/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet",
    "nominalTime": "https://openlineage.io/spec/facets/1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet",
    "errorMessage": "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "jobType": "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
}
_EXECUTION_EVENTS: Final[Mapping[type[Message], str]] = {
    facts.ExecutionStarted: START,
    facts.ExecutionSucceeded: COMPLETE,
    facts.ExecutionFailed: FAIL,
    facts.ExecutionAborted: ABORT,
}
_NODE_EVENTS: Final[Mapping[type[Message], str]] = {
    facts.NodeStarted: START,
    facts.NodeSucceeded: COMPLETE,
    facts.NodeFailed: FAIL,
    facts.NodeTimedOut: FAIL,
    facts.NodeAborted: ABORT,
}
FACTS: Final = frozenset(fact.DESCRIPTOR.name for fact in (*_EXECUTION_EVENTS, *_NODE_EVENTS))


@dataclass(frozen=True, slots=True)
class Naming:
    """What this deployment calls itself in events."""

    namespace: str
    producer: str


class Parent(NamedTuple):
    """The execution of the launch-plan node that an execution runs for."""

    execution: ExecutionKey
    job: str


class Happening(NamedTuple):
    """Something that there is an event of, with where its data is. `node` None: the execution."""

    kind: str
    node: NodeRun | None
    at: Timestamp
    inputs: DataRef | None
    outputs: DataRef | None


def happenings(run: Run, fact: Message) -> Iterator[Happening]:
    """What a fact means, once it was folded into the run: one event or none."""
    kind = _EXECUTION_EVENTS.get(type(fact))
    if kind is not None:
        yield Happening(kind, None, getattr(fact, "occurred_at"), run.inputs, run.outputs)  # noqa: B009
        return
    kind = _NODE_EVENTS.get(type(fact))
    node = run.nodes.get(getattr(fact, "node_id", ""))
    if kind is None or node is None or node.started_at is None or not _runs_a_task(node):
        return
    yield Happening(kind, node, getattr(fact, "occurred_at"), node.inputs, node.outputs)  # noqa: B009


def event(
    run: Run,
    happening: Happening,
    *,
    inputs: LiteralMap | None,
    outputs: LiteralMap | None,
    parent: Parent | None,
    naming: Naming,
) -> LineageEventRecorded:
    """The event, ready to be sent.

    Args:
        inputs: the values at `happening.inputs`, None where they are gone or too large; outputs likewise.
        parent: of an execution that runs for a node of another one.
    """
    kind, node = happening.kind, happening.node
    node_id = "" if node is None else node.id
    own = run_id(run.key, node_id)
    document = {
        "eventType": kind,
        "eventTime": _time(happening.at),
        "producer": naming.producer,
        "schemaURL": RUN_EVENT,
        "run": {"runId": str(own), "facets": _run_facets(run, happening, parent, naming)},
        "job": {
            "namespace": naming.namespace,
            "name": job_name(run, node),
            "facets": {"jobType": _facet("jobType", naming, **_job_type(run, node))},
        },
        "inputs": datasets(inputs, naming.producer),
        "outputs": datasets(outputs, naming.producer) if kind == COMPLETE else [],
    }
    project, domain, name = run.key
    return LineageEventRecorded(
        event_id=str(uuid5(own, kind)),
        execution_id=WorkflowExecutionIdentifier(project=project, domain=domain, name=name),
        node_id=node_id,
        event_type=kind,
        json=json.dumps(document, separators=(",", ":"), ensure_ascii=False),
        occurred_at=happening.at,
    )


def run_id(execution: ExecutionKey, node_id: str = "") -> UUID:
    """The run's id, made of its names alone."""
    return uuid5(NAMESPACE_URL, "/".join(("flightlog:execution", *execution, *([node_id] if node_id else []))))


def job_name(run: Run, node: NodeRun | None = None) -> str:
    """`project.domain.workflow`, of a node with the way to it in the compiled workflows behind: `….n1.n0`."""
    workflow = run.created.workflow_id
    parts = [workflow.project, workflow.domain, workflow.name]
    path: list[str] = []
    while node is not None:
        path.append(node.spec_id)
        node = run.nodes.get(node.parent_id)
    return ".".join((*parts, *reversed(path)))


def _runs_a_task(node: NodeRun) -> bool:
    # Elements are told of with their array: a map of thousands is one run.
    return node.kind in (facts.TASK, facts.ARRAY) and node.element is None


def _run_facets(run: Run, happening: Happening, parent: Parent | None, naming: Naming) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if happening.node is not None:
        facets["parent"] = _parent(naming, run.key, job_name(run))
    elif parent is not None:
        facets["parent"] = _parent(naming, parent.execution, parent.job)
    metadata = run.created.spec.metadata
    if happening.node is None and metadata.HasField("scheduled_at"):
        facets["nominalTime"] = _facet("nominalTime", naming, nominalStartTime=_time(metadata.scheduled_at))
    message = _message(run, happening)
    if message:
        facets["errorMessage"] = _facet("errorMessage", naming, message=message, programmingLanguage="PYTHON")
    return facets


def _message(run: Run, happening: Happening) -> str:
    if happening.kind == ABORT and happening.node is None:
        return run.abort.cause if run.abort is not None else ""
    if happening.kind not in (FAIL, ABORT):
        return ""
    error = run.error if happening.node is None else happening.node.error
    return _told(error) if error is not None else "it did not end in time"


def _told(error: ExecutionError) -> str:
    return error.message or error.code or "it failed without a word"


def _parent(naming: Naming, execution: ExecutionKey, job: str) -> dict[str, Any]:
    return _facet(
        "parent", naming, run={"runId": str(run_id(execution))}, job={"namespace": naming.namespace, "name": job}
    )


def _job_type(run: Run, node: NodeRun | None) -> dict[str, str]:
    return {"processingType": "BATCH", "integration": "FLIGHTLOG", "jobType": "WORKFLOW" if node is None else "TASK"}


def _facet(name: str, naming: Naming, **content: Any) -> dict[str, Any]:
    return {"_producer": naming.producer, "_schemaURL": _FACETS[name], **content}


def _time(moment: Timestamp) -> str:
    return moment.ToJsonString()
