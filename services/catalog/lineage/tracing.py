"""Within one execution: from a value to where it was made, and from there to what took it. Pure.

A value that a sub-workflow, a branch, a dynamic workflow or a map passes on is not made there: it is followed through
the bindings to the step that made it, variable by variable, into collections as far as bindings pick elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from flyteidl.core.identifier_pb2 import Identifier, ResourceType
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import Literal

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog.lineage.programs import (
    START,
    Constant,
    Node,
    Parts,
    Path,
    Program,
    Promise,
    Source,
    Workflow,
    entity_key,
    shown,
)
from services.catalog.lineage.runs import RAN, NodeRun, Run
from services.catalog.subjects import ExecutionKey

INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
ELEMENTS_SHOWN: Final = 16
"""Maps with more elements are one step."""


class Value(NamedTuple):
    """What a node, or with "" the execution itself, has under a name.

    An input of a node is a value of its own only where it is bound to a constant; `at` is the way to that within the
    variable. An output without a name is whatever lies at the address `at`.
    """

    execution: ExecutionKey
    node_id: str
    side: str
    var: str
    at: str = ""


class Origin(NamedTuple):
    """Where a value comes from: which one, what part of it, and at which place of the value it stands."""

    value: Value
    path: Path = ()
    place: Path = ()


class Use(NamedTuple):
    """A step, or a launch-plan node, takes a value as its input `var`."""

    node: NodeRun
    var: str
    path: Path
    place: Path


@dataclass(frozen=True, slots=True)
class _Frame:
    """A workflow that ran, and the node it ran for; None: the execution."""

    workflow: Workflow
    program: Program
    parent: NodeRun | None
    children: Mapping[str, NodeRun]


@dataclass(slots=True)
class _Taken:
    """Who takes what, in one execution."""

    constants: Mapping[Value, Literal]
    uses: dict[Value, list[Use]] = field(default_factory=dict[Value, list[Use]])
    # Inputs of steps and launch-plan nodes, by node and variable.
    inputs: dict[str, dict[str, list[Origin]]] = field(default_factory=dict[str, dict[str, list[Origin]]])
    # Constants, by the dynamic node whose task gave them.
    given: dict[str, list[Value]] = field(default_factory=dict[str, list[Value]])
    results: Mapping[str, list[Origin]] = field(default_factory=dict[str, list[Origin]])


class Trace:
    """One execution with the workflows that it ran.

    Args:
        plans: the compiled workflows that dynamic nodes' tasks asked for, by their uris.
    """

    def __init__(self, run: Run, program: Program | None, plans: Mapping[str, Program]) -> None:
        self.run = run
        self._constants: dict[Value, Literal] = {}
        self._plans = plans
        self._root = None if program is None else _Frame(program.primary, program, None, run.children_of(None))
        self._inner: dict[str, _Frame | None] = {}
        self._outputs: dict[tuple[str, str, Path], tuple[Origin, ...]] = {}
        # Dynamic nodes by the constants that their tasks gave to the nodes they asked for.
        self._givers: dict[Value, str] = {}

    def value(self, node_id: str, side: str, var: str) -> list[Origin]:
        """Where a value comes from. One that nobody has, or of which nothing is known any more, comes from nowhere."""
        if not node_id:
            return self.result(var) if side == OUTPUTS else [Origin(Value(self.run.key, "", INPUTS, var))]
        node = self.run.nodes.get(node_id)
        if node is None:
            return []
        return list(self.output(node, var) if side == OUTPUTS else self.input(node, var))

    def steps(self) -> Iterator[NodeRun]:
        """The nodes that made something, or would have; of retried parents, only their last attempts' ones."""
        return (node for node in self._current() if self.is_step(node))

    def is_step(self, node: NodeRun) -> bool:
        if node.kind in (facts.START, facts.END):
            return False
        if node.how != RAN:
            return True
        match node.kind:
            case facts.TASK:
                return True
            case facts.ARRAY:
                return not self.is_expanded(node)
            case facts.GATE:
                spec = self._spec(node)
                return spec is None or not spec.passes
            case _:
                return False

    def is_expanded(self, array: NodeRun) -> bool:
        """Whether a map's elements are steps of their own. Executions that run as elements always are."""
        elements = self.run.children_of(array)
        if array.how != RAN or not elements:
            return False
        return array.size <= ELEMENTS_SHOWN or next(iter(elements.values())).kind == facts.LAUNCH_PLAN

    def step_of(self, node: NodeRun) -> NodeRun:
        """The node that stands for an element of a large map; any other node for itself."""
        parent = self.run.nodes.get(node.parent_id)
        while parent is not None:
            if parent.kind == facts.ARRAY and not self.is_expanded(parent):
                node = parent
            parent = self.run.nodes.get(parent.parent_id)
        return node

    def inputs(self, node: NodeRun) -> Mapping[str, list[Origin]]:
        """Where the inputs of a step or a launch-plan node come from, by name."""
        return self._taken.inputs.get(node.id, {})

    def uses(self, value: Value) -> list[Use]:
        """Which steps and launch-plan nodes take a value."""
        return self._taken.uses.get(value, [])

    def results_with(self, value: Value) -> list[tuple[str, Origin]]:
        """The execution's outputs that a value is part of."""
        return [(var, origin) for var, found in self.results.items() for origin in found if origin.value == value]

    def given_by(self, node: NodeRun) -> list[Value]:
        """The constants in what a dynamic node's task asked for."""
        return self._taken.given.get(node.id, [])

    @property
    def constants(self) -> Mapping[Value, Literal]:
        """The constants that steps take, and that are outputs of the execution."""
        return self._taken.constants

    def entity(self, node: NodeRun) -> Identifier | None:
        """What ran as a node: a task, a sub-workflow, a launch plan; None when it is none of these, or not known."""
        if node.task_id is not None or node.launch_plan is not None:
            return node.task_id or node.launch_plan
        spec = self._spec(node)
        if spec is not None and spec.sub_workflow is not None:
            project, domain, name, version = spec.sub_workflow
            return Identifier(
                resource_type=ResourceType.WORKFLOW, project=project, domain=domain, name=name, version=version
            )
        if spec is None:
            return None
        return spec.task if spec.element is None else spec.element.task

    def giver(self, constant: Value) -> NodeRun | None:
        """The dynamic node whose task gave a constant; None when the workflow itself has it."""
        return self.run.nodes.get(self._givers.get(constant, ""))

    def output(self, node: NodeRun, var: str, path: Path = ()) -> tuple[Origin, ...]:
        """Where (a part of) an output of a node comes from."""
        key = (node.id, var, path)
        known = self._outputs.get(key)
        if known is None:
            known = self._outputs[key] = tuple(self._made(node, var, path))
        return known

    def input(self, node: NodeRun, var: str, path: Path = ()) -> Iterator[Origin]:
        """Where (a part of) an input of a node comes from."""
        frame = self._frame_of(node)
        parent = self.run.nodes.get(node.parent_id)
        bound = node
        if parent is not None and parent.kind == facts.ARRAY and node.element is not None:
            # An element takes what its array takes, or its own part of it.
            bound = parent
            if var not in self._whole_inputs(parent):
                path = (node.element, *path)
        spec = self._spec(bound)
        source = None if spec is None else spec.inputs.get(var)
        if frame is not None and source is not None:
            holder = Value(self.run.key, bound.id, INPUTS, var)
            yield from self._resolved(frame, source, path, holder)

    def _made(self, node: NodeRun, var: str, path: Path) -> Iterator[Origin]:
        itself = Value(self.run.key, node.id, OUTPUTS, var)
        if self.is_step(node):
            parent = self.run.nodes.get(node.parent_id)
            if parent is not None and parent.kind == facts.ARRAY and not self.is_expanded(parent):
                assert node.element is not None
                yield from self.output(parent, var, (node.element, *path))
                return
            if node.plan is None or node.how != RAN:
                yield Origin(itself, path)
                return
        match node.kind:
            case facts.TASK | facts.SUB_WORKFLOW:
                frame = self._frame_in(node)
                source = None if frame is None else frame.workflow.outputs.get(var)
                if frame is not None and source is not None:
                    yield from self._resolved(frame, source, path, itself)
            case facts.BRANCH:
                for arm in self.run.children_of(node).values():
                    yield from self.output(arm, var, path)
            case facts.ARRAY:
                yield from self._gathered(node, var, path)
            case facts.LAUNCH_PLAN if node.child is not None:
                child = node.child
                yield Origin(Value((child.project, child.domain, child.name), "", OUTPUTS, var), path)
            case facts.GATE:
                yield from self.input(node, var, path)
            case _:
                return

    def _gathered(self, array: NodeRun, var: str, path: Path) -> Iterator[Origin]:
        elements = sorted(self.run.children_of(array).values(), key=lambda one: one.element or 0)
        for element in elements:
            if not path:
                for origin in self.output(element, var):
                    yield origin._replace(place=(element.element or 0, *origin.place))
            elif path[0] == element.element:
                yield from self.output(element, var, path[1:])

    def _resolved(
        self, frame: _Frame, source: Source, path: Path, holder: Value, within: Path = (), place: Path = ()
    ) -> Iterator[Origin]:
        """Where what a binding gives comes from. `within` is the way to the source inside of its binding."""
        match source:
            case Constant():
                value = holder._replace(at=shown(within))
                self._note_constant(frame, value, source)
                yield Origin(value, path, place)
            case Parts(sources=sources):
                for key, part in sources:
                    if not path:
                        yield from self._resolved(frame, part, (), holder, (*within, key), (*place, key))
                    elif path[0] == key:
                        yield from self._resolved(frame, part, path[1:], holder, (*within, key), place)
            case Promise():
                for origin in self._promised(frame, source.node, source.var, (*source.path, *path)):
                    yield origin._replace(place=(*place, *origin.place))

    def _promised(self, frame: _Frame, node_id: str, var: str, path: Path) -> Iterator[Origin]:
        if node_id != START:
            node = frame.children.get(node_id)
            if node is not None:
                yield from self.output(node, var, path)
        elif frame.parent is None:
            yield Origin(Value(self.run.key, "", INPUTS, var), path)
        else:
            yield from self.input(frame.parent, var, path)

    def _note_constant(self, frame: _Frame, value: Value, constant: Constant) -> None:
        self._constants[value] = constant.literal
        around: _Frame | None = frame
        while around is not None and around.parent is not None:
            if around.parent.plan is not None:
                self._givers[value] = around.parent.id
                return
            around = self._frame_of(around.parent)

    def result(self, var: str, path: Path = ()) -> list[Origin]:
        """Where (a part of) an output of the execution comes from."""
        source = None if self._root is None else self._root.workflow.outputs.get(var)
        if self._root is None or source is None:
            return []
        return list(self._resolved(self._root, source, path, Value(self.run.key, "", OUTPUTS, var)))

    @cached_property
    def results(self) -> Mapping[str, list[Origin]]:
        """Where the execution's outputs come from, by name."""
        names = () if self._root is None else self._root.workflow.outputs
        return {var: self.result(var) for var in names}

    @cached_property
    def _taken(self) -> _Taken:
        taken = _Taken(self._constants)
        for node in self._current():
            if not (self.is_step(node) or node.kind == facts.LAUNCH_PLAN):
                continue
            found = taken.inputs[node.id] = {var: list(self.input(node, var)) for var in self._input_names(node)}
            if node.how != RAN:
                # What it gives was made elsewhere, whatever it would have taken here.
                continue
            for var, origins in found.items():
                for origin in origins:
                    use = Use(node, var, origin.path, origin.place)
                    taken.uses.setdefault(origin.value, []).append(use)
        # Constants that are outputs are known from then on.
        taken.results = self.results
        for value, giver in self._givers.items():
            taken.given.setdefault(giver, []).append(value)
        return taken

    def _input_names(self, node: NodeRun) -> list[str]:
        parent = self.run.nodes.get(node.parent_id)
        of_array = parent is not None and parent.kind == facts.ARRAY
        spec = self._spec(parent if of_array and parent is not None else node)
        return [] if spec is None else list(spec.inputs)

    def _current(self) -> Iterator[NodeRun]:
        """All nodes but those of attempts that were followed by another one, and those inside of large maps."""
        left = list(self.run.children_of(None).values())[::-1]
        while left:
            node = left.pop()
            yield node
            if node.how == RAN and not (node.kind == facts.ARRAY and not self.is_expanded(node)):
                left.extend(reversed(self.run.children_of(node).values()))

    def _whole_inputs(self, array: NodeRun) -> frozenset[str]:
        spec = self._spec(array)
        if spec is None:
            return frozenset()
        if spec.element is not None:
            return spec.whole_inputs
        frame = self._frame_of(array)
        task = spec.task
        if frame is None or task is None:
            return frozenset()
        takes = frame.program.tasks.get(entity_key(task), TypedInterface()).inputs.variables
        return frozenset(name for name in takes if not takes[name].type.HasField("collection_type"))

    def _spec(self, node: NodeRun) -> Node | None:
        """The node in its compiled workflow; None when that is not to be had."""
        parent = self.run.nodes.get(node.parent_id)
        if parent is not None and parent.kind == facts.BRANCH:
            branch = self._spec(parent)
            return None if branch is None else branch.arms.get(node.spec_id)
        if parent is not None and parent.kind == facts.ARRAY:
            array = self._spec(parent)
            return None if array is None else array.element or array
        frame = self._frame_of(node)
        return None if frame is None else frame.workflow.nodes.get(node.spec_id)

    def _frame_of(self, node: NodeRun) -> _Frame | None:
        """The workflow that a node's inputs are bound in."""
        parent = self.run.nodes.get(node.parent_id)
        while parent is not None and parent.kind in (facts.BRANCH, facts.ARRAY):
            parent = self.run.nodes.get(parent.parent_id)
        return self._root if parent is None else self._frame_in(parent)

    def _frame_in(self, node: NodeRun) -> _Frame | None:
        """The workflow that a node consists of."""
        if node.id not in self._inner:
            self._inner[node.id] = self._made_frame(node)
        return self._inner[node.id]

    def _made_frame(self, node: NodeRun) -> _Frame | None:
        children = self.run.children_of(node)
        if node.plan is not None:
            program = self._plans.get(node.plan.closure.uri)
            return None if program is None else _Frame(program.primary, program, node, children)
        outer, spec = self._frame_of(node), self._spec(node)
        if outer is None or spec is None or spec.sub_workflow is None:
            return None
        workflow = outer.program.sub_workflows.get(spec.sub_workflow)
        return None if workflow is None else _Frame(workflow, outer.program, node, children)
