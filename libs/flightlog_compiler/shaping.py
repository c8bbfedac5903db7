"""The stored shape of a workflow template: start and end nodes added, inner names and references made unique.

What clients sent stays as it was sent (order, metadata, unknown fields); only what readers of the closure rely on is
written in (admin-contract §3.3, T27, T28, T36, T37).
"""

from collections.abc import Iterable

from flyteidl.core import literals_pb2, workflow_pb2

from flightlog_compiler import errors
from flightlog_compiler.errors import Problems
from flightlog_compiler.references import branch_arms

START_NODE = "start-node"
END_NODE = "end-node"
_RESERVED = frozenset({START_NODE, END_NODE})
_MAX_NODE_ID_BYTES = 200


def shaped(template: workflow_pb2.WorkflowTemplate, problems: Problems) -> workflow_pb2.WorkflowTemplate:
    """A copy of the template as it is stored: `[start-node, end-node, the user's nodes…]`.

    Reports nodes of one id and different content; the same node twice counts once, as Flyte has it. Reports ids that
    cannot be part of the names of the node's data and rows.
    """
    stored = workflow_pb2.WorkflowTemplate()
    stored.CopyFrom(template)
    stored.interface.inputs.SetInParent()
    stored.interface.outputs.SetInParent()
    nodes = _distinct(template.nodes, problems)
    for node in nodes:
        _shape_node(node)
    if stored.HasField("failure_node"):
        _shape_node(stored.failure_node)
    _name_start(stored.outputs)
    del stored.nodes[:]
    stored.nodes.add(id=START_NODE)
    stored.nodes.add(id=END_NODE, inputs=stored.outputs)
    stored.nodes.extend(nodes)
    return stored


def _distinct(nodes: Iterable[workflow_pb2.Node], problems: Problems) -> list[workflow_pb2.Node]:
    kept: dict[str, workflow_pb2.Node] = {}
    for node in nodes:
        if node.id in _RESERVED:
            # A template read back from a closure has them already; what would run under these names is refused.
            if node.WhichOneof("target") is not None:
                problems.add(errors.duplicate_id(node.id))
            continue
        if node.id not in kept:
            if not _is_usable(node.id):
                problems.add(errors.invalid_value(node.id, "Id"))
            copy = workflow_pb2.Node()
            copy.CopyFrom(node)
            kept[node.id] = copy
        elif node != kept[node.id]:
            problems.add(errors.duplicate_id(node.id))
    return list(kept.values())


def _is_usable(node_id: str) -> bool:
    return (
        node_id not in ("", ".", "..")
        and "/" not in node_id
        and node_id.isprintable()
        and len(node_id.encode()) <= _MAX_NODE_ID_BYTES
    )


def _shape_node(node: workflow_pb2.Node) -> None:
    if node.upstream_node_ids:
        upstream = sorted(upstream for upstream in node.upstream_node_ids if upstream not in ("", START_NODE))
        del node.upstream_node_ids[:]
        node.upstream_node_ids.extend(upstream)
    _name_start(node.inputs)
    if node.WhichOneof("target") == "branch_node":
        for arm in branch_arms(node.branch_node):
            arm.id = f"{node.id}-{arm.id}"
            _shape_node(arm)


def _name_start(bindings: Iterable[literals_pb2.Binding]) -> None:
    for binding in bindings:
        _name_start_in(binding.binding)


def _name_start_in(binding: literals_pb2.BindingData) -> None:
    match binding.WhichOneof("value"):
        case "promise" if not binding.promise.node_id:
            binding.promise.node_id = START_NODE
        case "collection":
            for element in binding.collection.bindings:
                _name_start_in(element)
        case "map":
            for key in binding.map.bindings:
                _name_start_in(binding.map.bindings[key])
        case _:
            return
