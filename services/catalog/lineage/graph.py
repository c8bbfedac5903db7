"""The graph around an artifact: steps between artifacts, backward and forward, as far as asked and allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier

from flightlog_protos.catalog.v1.lineage_service_pb2 import ArtifactReference, GetLineageRequest, LineageGraph
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog.lineage import describing
from services.catalog.lineage.links import Input, Links, StepId
from services.catalog.lineage.runs import NodeRun
from services.catalog.lineage.sources import Sources
from services.catalog.lineage.tracing import INPUTS, OUTPUTS, Trace, Value
from services.catalog.subjects import ExecutionKey


class NothingKnown(LookupError):
    """There is no such artifact, or nothing was recorded of it."""


class _Hop(NamedTuple):
    """A step with what it took and gave, as far as that is asked, and where to go on."""

    step: StepId
    inputs: list[Input]
    outputs: list[Input]
    following: list[Value]


_Around = Callable[[Value], Awaitable[list[_Hop]]]


@dataclass(slots=True)
class _Found:
    """A graph in the making. Dicts keep the order in which things were found."""

    size: int
    artifacts: dict[Value, None] = field(default_factory=dict[Value, None])
    steps: dict[StepId, None] = field(default_factory=dict[StepId, None])
    edges: dict[tuple[str, str, str], None] = field(default_factory=dict[tuple[str, str, str], None])
    truncated: bool = False

    def add(self, found: Value | StepId) -> bool:
        """Whether there was room for it, or it was there."""
        known = self.steps if isinstance(found, StepId) else self.artifacts
        if found not in known:
            if len(self.artifacts) + len(self.steps) >= self.size:
                self.truncated = True
                return False
            known[found] = None  # pyright: ignore[reportArgumentType]  # each kind has the dict of its kind
        return True

    def add_hop(self, hop: _Hop) -> bool:
        """Adds a step and what is around it; False when there was no room for the step."""
        if not self.add(hop.step):
            return False
        for taken in hop.inputs:
            if self.add(taken.value):
                self.edges[artifact_id(taken.value), step_id(hop.step), taken.label] = None
        for made in hop.outputs:
            if self.add(made.value):
                self.edges[step_id(hop.step), artifact_id(made.value), made.label] = None
        return True


async def lineage(sources: Sources, request: GetLineageRequest, *, size: int) -> LineageGraph:
    """What an artifact was made from, and what was made from it.

    Args:
        size: most artifacts and steps that the graph may have.

    Raises:
        NothingKnown: there is no such artifact.
    """
    links = Links(sources)
    reference = request.artifact
    asked = await (_at_address(links, reference.uri) if reference.uri else _of_node(sources, links, reference))
    found = _Found(size)
    for value in asked:
        found.add(value)
    if request.direction != GetLineageRequest.FORWARD:
        await _explore(found, asked, request.depth, partial(_backward, links))
    if request.direction != GetLineageRequest.BACKWARD:
        await _explore(found, asked, request.depth, partial(_forward, links))
    graph = await _told(sources, links, found, set(asked))
    graph.truncated = found.truncated or sources.exhausted
    return graph


def artifact_id(value: Value) -> str:
    """Unique and speaking: `p/d/name/n0.outputs.o0`; of something without a name, its address."""
    if not value.var:
        return value.at
    node = f"/{value.node_id}" if value.node_id else ""
    return f"{'/'.join(value.execution)}{node}.{value.side}.{value.var}{value.at}"


def step_id(step: StepId) -> str:
    """Unique and speaking: `p/d/name/n0`, of an execution `p/d/name`."""
    return "/".join((*step.execution, step.node_id)).rstrip("/")


async def _at_address(links: Links, address: str) -> list[Value]:
    made = [origin.value for origin in await links.at_address(address)]
    # Of those that were given it, the ones that had it from a step are found on the way.
    given = [value for value in await links.given_at(address) if not made or await links.producer(value) is None]
    asked = list(dict.fromkeys([*made, *given]))
    if not asked:
        raise NothingKnown(f"nothing is known of [{address}]: no attempt made it, and no execution was given it")
    return asked


async def _of_node(sources: Sources, links: Links, reference: ArtifactReference) -> list[Value]:
    identifier = reference.node.execution_id
    key = (identifier.project, identifier.domain, identifier.name)
    node_id, wanted = reference.node.node_id, reference.variable
    trace = await sources.trace(key)
    if trace is None:
        raise NothingKnown(f"there is no execution [{'/'.join(key)}]")
    node = trace.run.nodes.get(node_id)
    if node_id and node is None:
        raise NothingKnown(f"execution [{key[2]}] has no node [{node_id}]")
    names = await _names(sources, trace, node)
    if reference.side:
        sides = [reference.side]
    elif wanted:
        sides = [side for side in (OUTPUTS, INPUTS) if wanted in names[side]][:1]
    elif node is None:
        sides = [INPUTS, OUTPUTS]
    else:
        sides = [OUTPUTS if names[OUTPUTS] else INPUTS]
    if wanted and not any(wanted in names[side] for side in sides):
        where = f"node [{node_id}]" if node_id else f"execution [{key[2]}]"
        raise NothingKnown(f"{where} has no {reference.side or 'inputs or outputs'} of the name [{wanted}]")
    found: dict[Value, None] = {}
    for side in sides:
        for name in [wanted] if wanted else names[side]:
            for origin in trace.value(node_id, side, name):
                found.update(dict.fromkeys(settled.value for settled in await links.settled(origin)))
    return list(found)


async def _names(sources: Sources, trace: Trace, node: NodeRun | None) -> dict[str, list[str]]:
    """What there is on both sides of a node; None: of the execution."""
    given = await sources.literals(trace.run.inputs if node is None else node.inputs)
    gave = await sources.literals(trace.run.outputs if node is None else node.outputs)
    inputs = sorted(given.literals) if given is not None else []
    if node is not None and not inputs:
        inputs = sorted(trace.inputs(node))
    return {INPUTS: inputs, OUTPUTS: sorted(gave.literals) if gave is not None else []}


async def _explore(found: _Found, starts: Iterable[Value], depth: int, around: _Around) -> None:
    """Adds what is around values, then what is around that."""
    level = [value for value in starts if value in found.artifacts]
    seen = set(level)
    walked = 0
    while level:
        following: dict[Value, None] = {}
        for value in level:
            for hop in await around(value):
                if depth and walked >= depth:
                    found.truncated = found.truncated or hop.step not in found.steps
                elif found.add_hop(hop):
                    following.update(dict.fromkeys(hop.following))
        level = [value for value in following if value not in seen and value in found.artifacts]
        seen.update(level)
        walked += 1


async def _backward(links: Links, value: Value) -> list[_Hop]:
    made = await links.producer(value)
    if made is None:
        return []
    return [_Hop(made.step, made.inputs, [Input(made.label, value)], [taken.value for taken in made.inputs])]


async def _forward(links: Links, value: Value) -> list[_Hop]:
    return [
        _Hop(taken.step, [Input(taken.label, value)], taken.outputs, [made.value for made in taken.outputs])
        for taken in await links.consumers(value)
    ]


async def _told(sources: Sources, links: Links, found: _Found, asked: set[Value]) -> LineageGraph:
    graph = LineageGraph()
    values = await asyncio.gather(*map(links.literal, found.artifacts))
    for value, literal in zip(found.artifacts, values, strict=True):
        reference = ArtifactReference(node=_node(value.execution, value.node_id), side=value.side, variable=value.var)
        artifact = graph.artifacts.add(id=artifact_id(value), reference=reference, asked=value in asked)
        if value.var:
            artifact.kind, artifact.shown = describing.kind(literal), describing.short(literal)
            artifact.uri = describing.address(literal)
        else:
            artifact.kind, artifact.shown = "file", describing.cut(value.at)
            artifact.uri = artifact.reference.uri = value.at
    for step in found.steps:
        await _tell_step(sources, step, graph.steps.add(id=step_id(step), node=_node(step.execution, step.node_id)))
    for source, target, label in found.edges:
        # `from` is a word of the language.
        graph.edges.add(**{"from": source, "to": target, "variable": label})
    return graph


async def _tell_step(sources: Sources, step: StepId, told: LineageGraph.Step) -> None:
    trace = await sources.trace(step.execution)
    if trace is None:
        return
    run = trace.run
    node = run.nodes.get(step.node_id)
    if node is None:
        told.how, told.phase = "started", WorkflowExecution.Phase.Name(run.phase)
        told.entity.CopyFrom(run.entity)
        if run.ended_at is not None:
            told.ended_at.CopyFrom(run.ended_at)
        return
    told.how, told.phase = node.how, NodeExecution.Phase.Name(node.phase)
    if node.kind == facts.GATE:
        told.how = "signalled"
    entity = trace.entity(node)
    if entity is not None:
        told.entity.CopyFrom(entity)
    if node.kind == facts.ARRAY:
        told.elements = node.size
    if node.ended_at is not None:
        told.ended_at.CopyFrom(node.ended_at)


def _node(execution: ExecutionKey, node_id: str) -> NodeExecutionIdentifier:
    project, domain, name = execution
    identifier = WorkflowExecutionIdentifier(project=project, domain=domain, name=name)
    return NodeExecutionIdentifier(execution_id=identifier, node_id=node_id)
