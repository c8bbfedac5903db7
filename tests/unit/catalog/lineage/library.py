"""Histories told by stories as what lineage reads: the index is made of their facts by the rules of the projection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import BlobType

from flightlog_protos.catalog.v1.lineage_service_pb2 import ArtifactReference, GetLineageRequest, LineageGraph
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_types.addresses import addresses, is_below
from services.catalog.lineage.graph import lineage
from services.catalog.lineage.mentions import AddressRow, ReuseRow, Role, rows_of
from services.catalog.lineage.programs import Program
from services.catalog.lineage.runs import Run, fold
from services.catalog.lineage.sources import Makers, Mention, Reuse
from services.catalog.lineage.tracing import Trace
from services.catalog.subjects import ExecutionKey
from tests.unit.engine.story import NAME, Flow, Story, literal_map

BACKWARD, FORWARD, BOTH = GetLineageRequest.BACKWARD, GetLineageRequest.FORWARD, GetLineageRequest.BOTH


def told(flow: Flow | CompiledWorkflowClosure, name: str, inputs: Mapping[str, Any] | None = None) -> Story:
    """A story of an execution of this name, whose first fact says where its inputs lie."""

    def change(created: facts.ExecutionCreated) -> None:
        created.id.name = name
        created.config.metadata_prefix = f"s3://bucket/metadata/propeller/p-d-{name}"
        created.inputs.uri = f"s3://bucket/metadata/p/d/{name}/inputs"
        created.addresses.extend(addresses(literal_map(inputs or {})))

    story = Story(flow, inputs, change=change)
    story.put(f"s3://bucket/metadata/p/d/{name}/inputs", literal_map(inputs or {}))
    return story


def file(uri: str) -> Literal:
    literal = Literal()
    literal.scalar.blob.uri = uri
    literal.scalar.blob.metadata.type.dimensionality = BlobType.SINGLE
    return literal


def folder(uri: str) -> Literal:
    literal = file(uri)
    literal.scalar.blob.metadata.type.dimensionality = BlobType.MULTIPART
    return literal


def frame(uri: str) -> Literal:
    literal = Literal()
    literal.scalar.structured_dataset.uri = uri
    return literal


class Library:
    """Executions, oldest first."""

    def __init__(self, *stories: Story) -> None:
        self._traces: dict[ExecutionKey, Trace] = {}
        self._blobs: dict[str, bytes] = {}
        self._addresses: list[AddressRow] = []
        self._reuses: list[ReuseRow] = []
        self.reads = 0
        for number, story in enumerate(stories, start=1):
            self._add(story, 1000 * number)

    def _add(self, story: Story, sequence: int) -> None:
        run = fold(story.history, sequence)
        assert run is not None
        for offset, fact in enumerate(story.history):
            for row in rows_of(run.key, sequence + offset, [fact]):
                if isinstance(row, AddressRow):
                    self._addresses.append(row)
                else:
                    self._reuses.append(row)
        self._blobs |= story.blobs
        closure = story.flow.closure() if isinstance(story.flow, Flow) else story.flow
        self._traces[run.key] = Trace(run, Program.parse(closure), self._plans(run))

    def _plans(self, run: Run) -> dict[str, Program]:
        uris = [node.plan.closure.uri for node in run.nodes.values() if node.plan is not None]
        return {uri: Program.parse(CompiledWorkflowClosure.FromString(self._blobs[uri])) for uri in uris}

    async def trace(self, execution: ExecutionKey) -> Trace | None:
        return self._traces.get(execution)

    async def literals(self, reference: DataRef | None) -> LiteralMap | None:
        self.reads += 1
        stored = None if reference is None else self._blobs.get(reference.uri)
        return None if stored is None else LiteralMap.FromString(stored)

    exhausted = False

    async def makers(self, address: str, before: int) -> Makers:
        found: dict[Role, list[Mention]] = {Role.OWNS: [], Role.GAVE: []}
        for row in self._addresses:
            if row.role in found and is_below(address, row.address) and (not before or row.sequence < before):
                found[row.role].append(_mention(row))
        return Makers(found[Role.OWNS], found[Role.GAVE])

    async def users(self, addresses: Collection[str]) -> list[Mention]:
        return [
            _mention(row)
            for row in self._addresses
            if row.role != Role.OWNS and any(is_below(row.address, address) for address in addresses)
        ]

    async def reuses(self, execution: ExecutionKey) -> list[Reuse]:
        return [Reuse(row.source_node, row.execution, row.node_id) for row in self._reuses if row.source == execution]

    async def ask(
        self,
        node: str = "",
        variable: str = "",
        *,
        execution: str = NAME,
        side: str = "",
        uri: str = "",
        direction: GetLineageRequest.Direction = BOTH,
        depth: int = 0,
        size: int = 1000,
    ) -> LineageGraph:
        reference = ArtifactReference(uri=uri)
        if not uri:
            identifier = WorkflowExecutionIdentifier(project="p", domain="d", name=execution)
            reference = ArtifactReference(
                node=NodeExecutionIdentifier(execution_id=identifier, node_id=node), side=side, variable=variable
            )
        request = GetLineageRequest(artifact=reference, direction=direction, depth=depth)
        return await lineage(self, request, size=size)


def _mention(row: AddressRow) -> Mention:
    return Mention(row.address, row.execution, row.node_id, row.sequence)


def lines(graph: LineageGraph, forget: str = "") -> set[str]:
    """The edges, one a line: `n0.outputs.o0 -> n1 (a)`."""

    def plain(text: str) -> str:
        return text.replace("p/d/", "").replace(forget, "") if forget else text.replace("p/d/", "")

    return {f"{plain(getattr(edge, 'from'))} -> {plain(edge.to)} ({edge.variable})" for edge in graph.edges}


def ids(found: Iterable[LineageGraph.Artifact | LineageGraph.Step]) -> set[str]:
    return {one.id.removeprefix("p/d/") for one in found}
