"""Short names of what a graph of lineage has, for trees and pictures. Pure."""

from __future__ import annotations

import re

from flyteidl.core.identifier_pb2 import ResourceType

from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph

_ELSEWHERE = "elsewhere"
_MAPPED = re.compile(r"_[0-9a-f]{32}-arraynode$")
"""What flytekit puts behind the name of a task that it maps."""


class Names:
    """Project and domain are left out where all executions share them."""

    def __init__(self, graph: LineageGraph) -> None:
        boxes = [
            *((one.id, one.reference.node) for one in graph.artifacts),
            *((one.id, one.node) for one in graph.steps),
        ]
        keys = {
            box: (node.execution_id.project, node.execution_id.domain, node.execution_id.name) for box, node in boxes
        }
        shared = len({key[:2] for key in keys.values()}) == 1
        self._executions = {box: key[2] if shared else "/".join(key) for box, key in keys.items()}
        self.executions = list(dict.fromkeys(self._executions.values()))

    def execution_of(self, box: str) -> str:
        """Of an artifact or a step, by its id."""
        return self._executions.get(box, _ELSEWHERE)

    def artifact(self, artifact: LineageGraph.Artifact) -> str:
        """`n0.o0`; of an execution `inputs.x`; of something without a name, its address."""
        reference = artifact.reference
        if not reference.variable:
            return artifact.uri
        part = artifact.id.partition(f".{reference.side}.{reference.variable}")[2]
        if not reference.node.node_id:
            return f"{reference.side}.{reference.variable}{part}"
        side = f".{reference.side}" if reference.side == "inputs" else ""
        return f"{reference.node.node_id}{side}.{reference.variable}{part}"

    def step(self, step: LineageGraph.Step) -> str:
        """The node's id; of an execution, its name."""
        return step.node.node_id or f"execution {step.node.execution_id.name}"

    def entity(self, step: LineageGraph.Step) -> str:
        """`task module.name (version)`."""
        entity = step.entity
        if not entity.name:
            return ""
        kind = ResourceType.Name(entity.resource_type).lower().replace("_", " ")
        name = _MAPPED.sub("", entity.name)
        return f"{kind} {name}" if kind != "unspecified" else name


def shortened(text: str, longest: int) -> str:
    """The text in one line; of a long one, its end, which tells names and paths apart."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"…{text[-(longest - 1) :]}"
