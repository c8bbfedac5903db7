"""What an execution is at a moment: the fold of its facts.

Frozen, and cheap to copy: changing one node shares everything else. Nothing here knows the workflow's definition; who
may run next is decided with the program beside the state. Protobuf messages held here are never changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, auto
from typing import NamedTuple

from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution
from flyteidl.core.literals_pb2 import Literal
from flyteidl.core.types_pb2 import LiteralType
from immutables import Map

from flightlog_protos.execution.v1 import facts_pb2
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_protos.log.v1.envelope_pb2 import DataRef

ROOT = ""
"""Key of the scope that holds the top-level nodes."""


class ExecutionPhase(IntEnum):
    """Where an execution stands. From SUCCEEDED on nothing moves any more."""

    CREATED = 0
    RUNNING = 1
    FAILING = 2
    ABORTING = 3
    SUCCEEDED = 4
    FAILED = 5
    ABORTED = 6

    @property
    def terminal(self) -> bool:
        return self >= ExecutionPhase.SUCCEEDED


class NodePhase(IntEnum):
    """Where a node stands. From SUCCEEDED on nothing moves any more."""

    # The catalog is asked for its result; it is not even queued.
    ASKING = -1
    QUEUED = 0
    RUNNING = 1
    FAILING = 2
    SUCCEEDED = 3
    FAILED = 4
    TIMED_OUT = 5
    ABORTED = 6
    SKIPPED = 7
    RECOVERED = 8

    @property
    def terminal(self) -> bool:
        return self >= NodePhase.SUCCEEDED

    @property
    def succeeded(self) -> bool:
        """Nodes after it may run."""
        return self in (NodePhase.SUCCEEDED, NodePhase.RECOVERED)


class Reservation(IntEnum):
    """Where a node stands that is the only one to make a result, or waits for another to make it."""

    NONE = 0
    ASKED = 1
    AWAITED = 2
    HELD = 3


class AttemptPhase(IntEnum):
    """Where an attempt stands. Until ENDED something of it may still run somewhere."""

    LIVE = 0
    ABORTING = 1
    ENDED = 2


class SlotKey(NamedTuple):
    """A place among the running nodes that a node of an execution below has asked for."""

    # Name of the execution, which is in the same project and domain.
    execution: str
    node_id: str
    # Which of all that the execution has asked for.
    number: int


class SlotPhase(Enum):
    """What has become of such a place."""

    WAITING = auto()
    GRANTED = auto()
    FREED = auto()


@dataclass(frozen=True, slots=True)
class SlotState:
    """The same, with its place in the line."""

    phase: SlotPhase
    order: int = -1


@dataclass(frozen=True, slots=True)
class AttemptState:
    """The node's latest attempt; of a launch-plan node, its child execution."""

    number: int
    output_prefix: str
    checkpoint_prefix: str
    phase: AttemptPhase = AttemptPhase.LIVE
    # What clients see of it, and the launcher's version of that.
    reported: TaskExecution.Phase = TaskExecution.QUEUED
    version: int = 0
    reason: str = ""
    shown: tuple[bytes, ...] = (b"", b"")
    # It has run, though it may wait again.
    ran: bool = False
    # Why it is being stopped.
    abort_reason: str = ""
    timed_out: bool = False
    # What being stopped counts as, where it is not the node's timeout that expired.
    late: ExecutionError | None = None
    # Name of the child execution of a launch-plan node.
    child: str = ""

    @property
    def raw_output_prefix(self) -> str:
        """Where it puts users' data; its checkpoint is a folder in there."""
        return self.checkpoint_prefix.rpartition("/")[0]

    @property
    def stopping(self) -> bool:
        """Whether its end has been asked for, and is not known yet."""
        return self.phase == AttemptPhase.ABORTING


def shown(of: AttemptObserved | facts_pb2.AttemptProgressed) -> tuple[bytes, ...]:
    """What clients see of an attempt beside phase and reason, in a form that can be compared."""
    info = of.custom_info.SerializeToString(deterministic=True) if of.HasField("custom_info") else b""
    return (of.plugin.encode(), info, *(log.SerializeToString(deterministic=True) for log in of.logs))


@dataclass(frozen=True, slots=True)
class PlanState:
    """What a dynamic node's task asked to be run."""

    closure: DataRef
    job_spec: DataRef


@dataclass(frozen=True, slots=True)
class ArrayState:
    """The elements of an array node's attempt. They start in the order of their indexes."""

    size: int
    min_successes: int
    # 0: no limit.
    parallelism: int
    # Elements that ended without success.
    failed: int = 0


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node of the execution, top-level or inside another node."""

    node_id: str
    spec_node_id: str
    parent_id: str
    kind: facts_pb2.NodeKind
    # Place in the order in which nodes were queued.
    order: int
    phase: NodePhase
    data_prefix: str = ""
    inputs: DataRef | None = None
    outputs: DataRef | None = None
    error: ExecutionError | None = None
    # Number of the current attempt: the one that runs, ran last, or will run after a back-off.
    attempt_number: int = 0
    # None before the first attempt and between two.
    attempt: AttemptState | None = None
    system_failures: int = 0
    previous_checkpoint: str = ""
    # It counts towards max_parallelism.
    holds_slot: bool = False
    # It never does, although nodes of its kind do: what runs for it counts.
    without_slot: bool = False
    # Where the root of the tree has the places: number of the one that it has asked for and not returned; 0: none.
    slot: int = 0
    # Set while FAILING: how it is going to end.
    ending: facts_pb2.NodeEnding = facts_pb2.NODE_ENDING_UNSPECIFIED
    # Set for an element of an array node: its index.
    element: int | None = None
    # It is the on_failure node of the workflow around it.
    handles_failure: bool = False
    # Of the current attempt of a dynamic node, and of an array node.
    plan: PlanState | None = None
    array: ArrayState | None = None
    # Of a branch node: the compiled id of the arm that runs.
    taken: str = ""
    # Set while ASKING: what is to be known of it once it is queued.
    asked: facts_pb2.NodeQueued | None = None
    # Set when its result is to be cached.
    cache: facts_pb2.CacheUse | None = None
    reservation: Reservation = Reservation.NONE
    # It has its outputs, and waits for the catalog to have them.
    storing: facts_pb2.CachePutRequested | None = None

    @property
    def composite(self) -> bool:
        """Whether its current attempt consists of other nodes."""
        return self.kind in _COMPOSITE or self.plan is not None

    @property
    def takes_slot(self) -> bool:
        """Whether it takes a place among the running nodes, unless the array does that it is an element of."""
        return self.kind in _LIMITED and not self.without_slot

    @property
    def fails(self) -> bool:
        """Whether it is on its way to FAILED: what runs for it is being stopped, or its failure is being handled."""
        return self.phase == NodePhase.FAILING and self.ending == facts_pb2.ENDS_FAILED

    @property
    def live_attempt(self) -> AttemptState | None:
        """The attempt of which something may still run; None when there is none."""
        attempt = self.attempt
        return attempt if attempt is not None and attempt.phase != AttemptPhase.ENDED else None


_LIMITED = frozenset({facts_pb2.TASK, facts_pb2.ARRAY, facts_pb2.LAUNCH_PLAN})
_COMPOSITE = frozenset({facts_pb2.SUB_WORKFLOW, facts_pb2.BRANCH, facts_pb2.ARRAY})


@dataclass(frozen=True, slots=True)
class ScopeState:
    """The nodes of one running workflow: the top level, or one attempt of a node that consists of others."""

    # Queued or running.
    open: int = 0
    # Ended in whatever way, skipped ones included.
    terminal: int = 0
    # Unique ids of the nodes that failed or timed out, in order of time.
    failed: tuple[str, ...] = ()
    # Unique id of its failure node, once that is queued.
    handler: str = ""


@dataclass(frozen=True, slots=True)
class TimerState:
    """A moment that was asked for."""

    kind: facts_pb2.TimerKind
    node_id: str
    attempt: int
    due: datetime


@dataclass(frozen=True, slots=True)
class SignalState:
    """A value that gates of this execution wait for, under the signal's id."""

    type: LiteralType
    value: Literal | None = None
    # Unique ids of the gate nodes that asked for it, in order.
    gates: tuple[str, ...] = ()


_NO_SCOPE = ScopeState()


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. `nodes` is keyed by unique node id, `scopes` by the unique id of the parent node."""

    created: facts_pb2.ExecutionCreated
    phase: ExecutionPhase = ExecutionPhase.CREATED
    # Other executions have the places that this one needs.
    in_line: bool = False
    nodes: Map[str, NodeState] = field(default_factory=Map)
    scopes: Map[str, ScopeState] = field(default_factory=Map)
    timers: Map[str, TimerState] = field(default_factory=Map)
    signals: Map[str, SignalState] = field(default_factory=Map)
    # Number of nodes queued so far, and of places that executions below asked for; the next one's `order`.
    queued: int = 0
    # Nodes that are queued and wait for their first attempt, and places that are waited for below, by `order`; none is
    # below `waiting_from`.
    waiting: Map[int, str | SlotKey] = field(default_factory=Map)
    waiting_from: int = 0
    # Nodes that count towards max_parallelism, and places that were granted to executions below.
    slots: int = 0
    # Places that this execution has asked for of the root of its tree, so far.
    asked: int = 0
    # Of the root of a tree: places that executions below it have asked for.
    lent: Map[SlotKey, SlotState] = field(default_factory=Map)
    # Nobody is to see anything of it any more.
    deleted: bool = False
    # While FAILING, and after: the error the execution ends with.
    error: ExecutionError | None = None
    failed_node_id: str = ""

    def scope(self, parent_id: str) -> ScopeState:
        """The nodes under a parent; an empty scope when none has been queued yet."""
        return self.scopes.get(parent_id, _NO_SCOPE)

    def waiting_in_order(self) -> Iterator[str | SlotKey]:
        """Unique ids of the nodes that wait for their first attempt, and places waited for below, longest first."""
        for order in range(self.waiting_from, self.queued):
            waiting = self.waiting.get(order)
            if waiting is not None:
                yield waiting

    def open_nodes(self) -> list[NodeState]:
        """Nodes that have been queued and have not ended, in order of queueing. Looks at every node."""
        return sorted((node for node in self.nodes.values() if not node.phase.terminal), key=lambda node: node.order)
