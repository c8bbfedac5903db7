"""One decision in the making: the state so far, and what has been decided in it.

Every fact is folded in at once, so that each rule sees the state as it will be. Rules do not call what follows from
them: nodes that ended, and nodes whose next attempt may run, are queued, and `graph.settle` goes on with them. So a
chain of a thousand nodes is a loop, and the rules form layers.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from flyteidl.core.compiler_pb2 import CompiledWorkflowClosure
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine import names
from services.execution.engine.commands import Blob, Context, Decision, NeedData, NeedProgram, NeedRecovery
from services.execution.engine.evolve import evolve
from services.execution.engine.program import Node, Program, Workflow
from services.execution.engine.recovery_plans import Recovery
from services.execution.engine.state import ROOT, Execution, ExecutionPhase, NodePhase, NodeState

# Bytes of a node's data prefix. Object keys have at most 1024; workflows may lie in one another without end.
_LONGEST_PREFIX: Final = 600


_NODE_ENDS: Final = (
    facts_pb2.NodeSucceeded,
    facts_pb2.NodeFailed,
    facts_pb2.NodeTimedOut,
    facts_pb2.NodeAborted,
    facts_pb2.NodeRecovered,
)
_BEGIN_TO_WAIT: Final = (facts_pb2.NodeQueued, facts_pb2.RetryScheduled, facts_pb2.SlotAwaited)
_LEAVE_PLACES: Final = (*_NODE_ENDS, facts_pb2.ReservationAwaited, facts_pb2.DynamicPlanned)


class DataMissing(Exception):
    """A literal map is not at hand; its uri has been noted in the turn."""


class DataLost(Exception):
    """A literal map that the execution cannot go on without can never be had."""


@dataclass(slots=True)
class Frame:
    """One running workflow: the top level, or what one attempt of a node consists of.

    That is a sub-workflow, a dynamic node's plan, the arms of a branch, the elements of an array.
    """

    parent_id: str
    attempt: int
    workflow: Workflow
    # Where the workflow's tasks and sub-workflows are found, and the closure it was parsed from.
    program: Program
    closure: DataRef
    # Children's data lies under `<root>/<spec node id><leaf>`, below `top`.
    root: str
    leaf: str
    top: str
    # The workflow whose nodes the inputs are bound to, where it is another one: around the arms of a branch.
    around: "Frame | None" = None
    # They are the elements of an array.
    of_elements: bool = False
    _ids: dict[str, str] = field(default_factory=dict[str, str])

    def unique_id(self, spec_node_id: str) -> str:
        if not self.parent_id:
            return spec_node_id
        known = self._ids.get(spec_node_id)
        if known is None:
            make = names.element_id if self.of_elements else names.unique_node_id
            known = self._ids[spec_node_id] = make(self.parent_id, self.attempt, spec_node_id)
        return known

    def source_id(self, spec_node_id: str) -> str:
        """Unique id of a node that the inputs of this workflow's nodes are bound to."""
        return self.unique_id(spec_node_id) if self.around is None else self.around.source_id(spec_node_id)

    @property
    def source_parent(self) -> str:
        """Parent of the nodes that the inputs of this workflow's nodes are bound to."""
        return self.parent_id if self.around is None else self.around.source_parent

    def data_prefix(self, spec_node_id: str, element: int | None = None) -> str:
        nested = f"{self.root}/{spec_node_id if element is None else element}{self.leaf}"
        if len(nested.encode()) <= _LONGEST_PREFIX:
            return nested
        return f"{self.top}/{self.unique_id(spec_node_id)}/data"

    @property
    def retry_group(self) -> str:
        return str(self.attempt) if self.parent_id else ""

    def queued(self, node: Node, occurred_at: Timestamp, element: int | None = None) -> facts_pb2.NodeQueued:
        """The fact that a node is queued, without its inputs. `element` is its index in an array."""
        return facts_pb2.NodeQueued(
            node_id=self.unique_id(node.id),
            spec_node_id=node.id,
            parent_node_id=self.parent_id,
            retry_group=self.retry_group,
            kind=node.kind,
            name=node.name,
            data_prefix=self.data_prefix(node.id, element),
            is_parent=node.sub_workflow is not None or node.branch is not None,
            handles_failure=node.id == self.workflow.failure_node,
            occurred_at=occurred_at,
            element=element,
            is_array_task=node.array is not None and node.array.is_task,
        )


class Turn:
    """State, facts and blobs of one decision."""

    def __init__(self, state: Execution, context: Context) -> None:
        self.state = state
        self.context = context
        self.program = context.program
        self.settings = context.settings
        self.now = timestamp(context.now)
        # Unique ids of nodes that have just ended, and of nodes whose next attempt may run.
        self.ended: deque[str] = deque()
        self.resumed: deque[str] = deque()
        # Nodes whose result the catalog does not know: they are to be queued.
        self.missed: deque[facts_pb2.NodeQueued] = deque()
        # Nodes that wait for a place, where another execution has the places.
        self.slotless: deque[str] = deque()
        # Parents of failed workflows in which nothing runs any more, and whose failure nodes are to run.
        self.drained: deque[str] = deque()
        self._facts: list[Message] = []
        self._blobs: list[Blob] = []
        self._produced: dict[str, LiteralMap] = {}
        self._held: dict[str, LiteralMap] = {}
        self._programs: dict[bytes, Program] = {}
        self._missing: dict[str, None] = {}
        self._offloaded: dict[str, Literal] = {}
        self._missing_offloaded: dict[str, None] = {}
        self._frames: dict[str, Frame] = {}

    def emit(self, fact: Message) -> None:
        """Adds a fact and folds it into the state."""
        self._facts.append(fact)
        self.state = evolve(self.state, fact)
        if isinstance(fact, _NODE_ENDS):
            self._give_back(fact.node_id)
        if self.slots_elsewhere:
            self._follow_slot(fact)

    def _give_back(self, node_id: str) -> None:
        """A node that ended, in whatever way, reserves no result any more: others wait for it."""
        state = self.state.nodes[node_id]
        if state.reservation and state.cache is not None:
            self.emit(facts_pb2.ReservationReleased(node_id=node_id, key=state.cache.key, occurred_at=self.now))

    def _follow_slot(self, fact: Message) -> None:
        """A node that begins to wait asks for a place; one that needs it no more returns it."""
        if isinstance(fact, _BEGIN_TO_WAIT):
            if self.state.nodes[fact.node_id].order in self.state.waiting:
                self.slotless.append(fact.node_id)
        elif isinstance(fact, _LEAVE_PLACES):
            state = self.state.nodes[fact.node_id]
            if state.slot and not state.holds_slot and state.order not in self.state.waiting:
                self.emit(
                    facts_pb2.SlotReturned(
                        node_id=state.node_id, number=state.slot, root=self.slots_at, occurred_at=self.now
                    )
                )

    @property
    def slots_at(self) -> WorkflowExecutionIdentifier | None:
        """The root of the tree of executions that is limited as a whole; None when each is limited for itself."""
        config = self.state.created.config
        return config.parallelism_root if config.HasField("parallelism_root") else None

    @cached_property
    def slots_elsewhere(self) -> bool:
        """Whether another execution has the places that nodes of this one need."""
        return self.slots_at not in (None, self.state.created.id)

    @property
    def recovery(self) -> Recovery | None:
        """What may be reused of the execution that this one recovers, if it recovers one.

        Raises:
            NeedRecovery: it has to be loaded first.
            DataLost: it cannot be loaded.
        """
        created = self.state.created
        if not created.HasField("recovery"):
            return None
        if self.context.recovery is None:
            uri = created.recovery.uri
            if uri in self.context.lost:
                raise DataLost(f"[{uri}] cannot be read: {self.context.lost[uri]}")
            raise NeedRecovery(created.recovery)
        return self.context.recovery

    @property
    def awaited_by(self) -> facts_pb2.ParentAttempt | None:
        """The launch-plan node that waits for the end of this execution, if one does."""
        created = self.state.created
        return created.parent if created.HasField("parent") else None

    @property
    def requested_by(self) -> str:
        """The aggregate of another service that asked for this execution; "" when none did."""
        return self.state.created.requested_by

    @property
    def queued(self) -> bool:
        """Whether this execution has, or awaits, places of its own where it is limited how many run at once."""
        return any(not limit.held_by for limit in self.state.created.limits)

    @property
    def incomplete(self) -> bool:
        """Whether something could not be decided for want of data: all of it will be decided again."""
        return bool(self._missing or self._missing_offloaded)

    def fail(self, node_id: str, error: ExecutionError, *, deck_uri: str = "") -> None:
        """Ends a node, for which nothing runs, as failed; what follows from its end is for `graph` to draw."""
        self.emit(facts_pb2.NodeFailed(node_id=node_id, error=error, deck_uri=deck_uri, occurred_at=self.now))
        self.ended.append(node_id)

    def decision(self) -> Decision:
        """What has been decided.

        Raises:
            NeedData: something could not be decided for want of data.
        """
        if self.incomplete:
            raise NeedData(tuple(self._missing), tuple(self._missing_offloaded))
        return Decision(tuple(self._facts), tuple(self._blobs), self._produced, self.state, self._programs)

    # -- data

    def write(self, uri: str, literals: LiteralMap) -> DataRef:
        """Produces a literal map; its bytes are the same for equal content."""
        self._produced[uri] = literals
        return self._store(uri, literals)

    def write_literal(self, uri: str, literal: Literal) -> DataRef:
        """Produces a single literal, likewise."""
        self._offloaded[uri] = literal
        return self._store(uri, literal)

    def write_program(self, uri: str, closure: CompiledWorkflowClosure, program: Program) -> DataRef:
        """Produces a compiled workflow, with what it was parsed to."""
        ref = self._store(uri, closure)
        self._programs[ref.sha256] = program
        return ref

    def _store(self, uri: str, message: Message) -> DataRef:
        data = message.SerializeToString(deterministic=True)
        self._blobs.append(Blob(uri, data))
        return DataRef(uri=uri, sha256=hashlib.sha256(data).digest(), size_bytes=len(data))

    def hold(self, uri: str, literals: LiteralMap) -> None:
        """Remembers a literal map that only this decision needs; nothing is written."""
        self._held[uri] = literals

    def keep(self, uri: str, literals: LiteralMap) -> None:
        """Remembers a literal map that is in the object store already."""
        self._produced[uri] = literals

    def literals(self, uri: str) -> LiteralMap:
        """A literal map by uri.

        Raises:
            DataMissing: it has to be loaded first.
            DataLost: it cannot be loaded.
        """
        found = self._produced.get(uri)
        if found is None:
            found = self._held.get(uri)
        if found is None:
            found = self.context.data.get(uri)
        if found is None:
            raise self._absent(uri, self._missing)
        return found

    def literal(self, uri: str) -> Literal:
        """A single literal by uri: an offloaded one. Raises DataMissing and DataLost."""
        found = self._offloaded.get(uri)
        if found is None:
            found = self.context.offloaded.get(uri)
        if found is None:
            raise self._absent(uri, self._missing_offloaded)
        return found

    def _absent(self, uri: str, missing: dict[str, None]) -> DataMissing | DataLost:
        if uri in self.context.lost:
            return DataLost(f"[{uri}] cannot be read: {self.context.lost[uri]}")
        missing[uri] = None
        return DataMissing(uri)

    # -- where nodes are

    def frame(self, parent_id: str) -> Frame:
        """The workflow that runs under a parent node (`""`: the top level), in its current attempt.

        Raises:
            NeedProgram: it is a dynamic node's, and its program has to be loaded first.
        """
        frame: Frame | None = None
        # Dynamic nodes may lie in one another as deep as users like: no recursion.
        inside: list[NodeState] = []
        while parent_id and frame is None:
            parent = self.state.nodes[parent_id]
            known = self._frames.get(parent_id)
            if known is not None and known.attempt == parent.attempt_number:
                frame = known
            else:
                inside.append(parent)
                parent_id = parent.parent_id
        frame = frame or self._root_frame
        for parent in reversed(inside):
            frame = self._frames[parent.node_id] = self._inner_frame(parent, frame)
        return frame

    def _inner_frame(self, parent: NodeState, outer: Frame) -> Frame:
        node = outer.workflow.node(parent.spec_node_id)
        program, closure, around = outer.program, outer.closure, None
        if parent.plan is not None:
            closure = parent.plan.closure
            program = self.program_of(closure)
            workflow = program.primary
        elif node.branch is not None:
            workflow, around = node.branch.arms, outer
        elif node.array is not None:
            workflow = node.array.elements
        else:
            assert node.sub_workflow is not None
            workflow = program.sub_workflow(node.sub_workflow)
        return Frame(
            parent_id=parent.node_id,
            attempt=parent.attempt_number,
            workflow=workflow,
            program=program,
            closure=closure,
            root=f"{parent.data_prefix}/{parent.attempt_number}",
            leaf="",
            top=outer.top,
            around=around,
            of_elements=node.array is not None,
        )

    def program_of(self, closure: DataRef) -> Program:
        """The program of a dynamic node's closure. Raises NeedProgram when it has to be loaded first."""
        program = self._programs.get(closure.sha256) or self.context.programs.get(closure.sha256)
        if program is None:
            raise NeedProgram(closure)
        return program

    @cached_property
    def _root_frame(self) -> Frame:
        prefix = self.state.created.config.metadata_prefix.rstrip("/")
        return Frame(
            parent_id=ROOT,
            attempt=0,
            workflow=self.program.primary,
            program=self.program,
            closure=self.state.created.closure,
            root=prefix,
            leaf="/data",
            top=prefix,
        )

    def node(self, state: NodeState) -> Node:
        """The compiled node behind a node's state."""
        return self.frame(state.parent_id).workflow.node(state.spec_node_id)

    def stopping(self, parent_id: str) -> bool:
        """Whether nodes under this parent are to end and none is to start: the execution or an ancestor is failing.

        What a failure node consists of goes on while the workflow whose failure it handles is failing.
        """
        handles = False
        while parent_id:
            parent = self.state.nodes[parent_id]
            if parent.phase != NodePhase.RUNNING and not (handles and parent.fails):
                return True
            handles = parent.handles_failure
            parent_id = parent.parent_id
        phase = self.state.phase
        return phase != ExecutionPhase.RUNNING and not (handles and phase == ExecutionPhase.FAILING)

    def halted(self, state: NodeState) -> bool:
        """Whether this node is to end, or not to start, because of what is around it."""
        if not state.handles_failure:
            return self.stopping(state.parent_id)
        if not state.parent_id:
            return self.state.phase != ExecutionPhase.FAILING
        parent = self.state.nodes[state.parent_id]
        return not parent.fails or self.halted(parent)

    @cached_property
    def attempt_template(self) -> facts_pb2.AttemptScheduled:
        """What all attempts of this execution that a launcher runs have in common."""
        created = self.state.created
        config = created.config
        offloading = self.settings.offloading
        template = facts_pb2.AttemptScheduled(
            execution_id=created.id,
            workflow_id=created.workflow_id,
            envs={**(offloading.environment() if offloading is not None else {}), **config.envs},
            labels=config.labels,
            annotations=config.annotations,
            occurred_at=self.now,
        )
        if created.spec.HasField("security_context"):
            template.security_context.CopyFrom(created.spec.security_context)
        if config.HasField("task_resources"):
            template.task_resources.CopyFrom(config.task_resources)
        return template


def timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
