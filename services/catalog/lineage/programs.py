"""Compiled workflows as lineage reads them: by which bindings inputs of nodes and outputs of workflows come about.

Pure. A node's own rules (retries, caching, conditions) do not matter here: what ran is known from the facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import Identifier
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import Binding, BindingData, Literal, Scalar, Void
from flyteidl.core.workflow_pb2 import Node as CompiledNode
from flyteidl.core.workflow_pb2 import WorkflowTemplate

START: Final = "start-node"
END: Final = "end-node"
_ELEMENT: Final = re.compile(r"^\[(\d+)\]\.(.+)$")
_NONE: Final = Literal(scalar=Scalar(none_type=Void()))

EntityKey = tuple[str, str, str, str]
"""Project, domain, name and version."""

Path = tuple[str | int, ...]
"""The way into a value: elements by number, entries and attributes by name."""


@dataclass(frozen=True, slots=True)
class Constant:
    literal: Literal


@dataclass(frozen=True, slots=True)
class Promise:
    """An output of another node of the same workflow, or an input of the workflow (of `START`)."""

    node: str
    var: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A collection or a map built from several sources."""

    sources: tuple[tuple[str | int, Source], ...]


Source = Constant | Promise | Parts
Bound = Mapping[str, Source]
"""The sources of variables, by name."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a compiled workflow."""

    id: str
    inputs: Bound
    task: Identifier | None = None
    sub_workflow: EntityKey | None = None
    # Of a conditional: its arms by their ids. Their inputs are bound in the workflow around.
    arms: Mapping[str, Node] = field(default_factory=dict[str, "Node"])
    # Of a map: the node that is run for each element, and the inputs that all elements get whole.
    element: Node | None = None
    whole_inputs: frozenset[str] = frozenset()
    # A gate that gives what it takes, once somebody agrees.
    passes: bool = False


@dataclass(frozen=True, slots=True)
class Workflow:
    nodes: Mapping[str, Node]
    outputs: Bound


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled workflow closure."""

    primary: Workflow
    sub_workflows: Mapping[EntityKey, Workflow]
    tasks: Mapping[EntityKey, TypedInterface]

    @staticmethod
    def parse(closure: CompiledWorkflowClosure) -> Program:
        """Reads a closure. What a newer release may have put in there is passed over."""
        tasks = {entity_key(task.template.id): task.template.interface for task in closure.tasks}
        return Program(
            primary=_workflow(closure.primary.template, tasks),
            sub_workflows={
                entity_key(sub.template.id): _workflow(sub.template, tasks) for sub in closure.sub_workflows
            },
            tasks=tasks,
        )


def entity_key(identifier: Identifier) -> EntityKey:
    return identifier.project, identifier.domain, identifier.name, identifier.version


def shown(path: Path) -> str:
    """`[2].rows` for the way to the entry `rows` of element 2."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


_Tasks = Mapping[EntityKey, TypedInterface]
_Aliases = Mapping[tuple[str, str], str]


def _workflow(template: WorkflowTemplate, tasks: _Tasks) -> Workflow:
    compiled = [*template.nodes, *([template.failure_node] if template.HasField("failure_node") else [])]
    aliases = {(node.id, alias.alias): alias.var for node in compiled for alias in node.output_aliases}
    nodes = {node.id: _node(node, aliases, tasks) for node in compiled}
    end = nodes.pop(END, None)
    nodes.pop(START, None)
    outputs = end.inputs if end is not None and end.inputs else _bound(template.outputs, aliases)
    return Workflow(nodes, outputs)


def _node(compiled: CompiledNode, aliases: _Aliases, tasks: _Tasks) -> Node:
    inputs = _bound(compiled.inputs, aliases)
    match compiled.WhichOneof("target"):
        case "task_node":
            return Node(compiled.id, inputs, task=compiled.task_node.reference_id)
        case "workflow_node" if compiled.workflow_node.HasField("sub_workflow_ref"):
            return Node(compiled.id, inputs, sub_workflow=entity_key(compiled.workflow_node.sub_workflow_ref))
        case "branch_node":
            if_else = compiled.branch_node.if_else
            arms = [if_else.case.then_node, *(block.then_node for block in if_else.other)]
            if if_else.HasField("else_node"):
                arms.append(if_else.else_node)
            return Node(compiled.id, inputs, arms={arm.id: _node(arm, aliases, tasks) for arm in arms})
        case "array_node":
            array = compiled.array_node
            element = _node(array.node, aliases, tasks)
            whole = set(array.bound_inputs)
            if element.task is not None and not array.is_original_sub_node_interface.value:
                # The task of a map takes lists of what it is mapped over; all else every element gets as it is.
                takes = tasks.get(entity_key(element.task), TypedInterface()).inputs.variables
                whole |= {name for name in takes if not takes[name].type.HasField("collection_type")}
            return Node(compiled.id, inputs, element=element, whole_inputs=frozenset(whole))
        case "gate_node":
            return Node(compiled.id, inputs, passes=compiled.gate_node.HasField("approve"))
        case _:
            return Node(compiled.id, inputs)


def _bound(bindings: Iterable[Binding], aliases: _Aliases) -> Bound:
    return {binding.var: _source(binding.binding, aliases) for binding in bindings}


def _source(binding: BindingData, aliases: _Aliases) -> Source:
    match binding.WhichOneof("value"):
        case "scalar":
            return Constant(Literal(scalar=binding.scalar))
        case "promise":
            promise = binding.promise
            node = promise.node_id or START
            name = aliases.get((node, promise.var), promise.var)
            element = _ELEMENT.match(name)
            path: Path = tuple(
                attribute.int_value if attribute.WhichOneof("value") == "int_value" else attribute.string_value
                for attribute in promise.attr_path
            )
            return Promise(node, element[2], (int(element[1]), *path)) if element else Promise(node, name, path)
        case "collection":
            items = enumerate(binding.collection.bindings)
            return Parts(tuple((index, _source(item, aliases)) for index, item in items))
        case "map":
            entries = binding.map.bindings
            return Parts(tuple((key, _source(entries[key], aliases)) for key in sorted(entries)))
        case "offloaded_metadata":
            return Constant(Literal(offloaded_metadata=binding.offloaded_metadata))
        case _:
            return Constant(_NONE)
