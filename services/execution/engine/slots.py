"""Places among the running nodes: who may run, where max_parallelism limits how many do (engine-semantics §1.6).

The number that everybody has who asks for none bounds each execution for itself, as in Flyte. Where somebody asked for
one, it bounds the whole tree of executions below. The execution at its root then has all places. Its own nodes, and
those of the executions below, which ask it by facts, stand in one line. A node that runs a launch plan, or maps over
one, takes no place in a tree: its child would wait for ever for the place that its parent has.
"""

from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine.commands import MoveSlots, TakeSlots
from services.execution.engine.program import Node
from services.execution.engine.state import NodeState, SlotKey, SlotPhase
from services.execution.engine.turn import Turn


def unneeded(turn: Turn, node: Node) -> bool:
    """Whether a node takes no place although nodes of its kind do: others run for it that take theirs."""
    if turn.slots_at is None:
        return False
    return node.kind == facts.LAUNCH_PLAN or (node.array is not None and node.array.element.kind == facts.LAUNCH_PLAN)


def free(turn: Turn) -> bool:
    """Whether whoever waits longest may have a place here. Without the data that it needs, it would wait on."""
    state = turn.state
    if turn.incomplete or turn.slots_elsewhere or not state.waiting:
        return False
    limit = state.created.config.max_parallelism
    # When it is over, those that are still to be stopped are not held up.
    return limit <= 0 or state.slots < limit or state.phase.terminal


def grant(turn: Turn, place: SlotKey) -> None:
    """Gives a place to a node of an execution below."""
    turn.emit(facts.SlotGranted(node=_identifier(turn, place), number=place.number, occurred_at=turn.now))


def ask(turn: Turn, node_id: str) -> None:
    """Asks the root for a place for a node that waits, unless it has asked already or waits no more."""
    state = turn.state.nodes[node_id]
    if state.slot or state.order not in turn.state.waiting:
        return
    turn.emit(facts.SlotAsked(node_id=node_id, number=turn.state.asked + 1, root=turn.slots_at, occurred_at=turn.now))


def lacking(turn: Turn, state: NodeState) -> bool:
    """Whether a node that is to run first has to wait for a place: it left its own while it waited for a result."""
    return turn.slots_at is not None and state.element is None and state.takes_slot and not state.holds_slot


def kept(turn: Turn, state: NodeState) -> bool:
    """Whether a place in a tree stays taken while this node waits for a result: its array has it for all elements."""
    return turn.slots_at is not None and state.element is not None and state.kind == facts.TASK


def take(turn: Turn, command: TakeSlots) -> None:
    """Takes in that the root has places for nodes of this execution; those that wait no more have returned theirs."""
    for node_id, number in command.slots:
        state = turn.state.nodes.get(node_id)
        if state is not None and state.slot == number and state.order in turn.state.waiting:
            turn.emit(facts.SlotTaken(node_id=node_id, number=number, occurred_at=turn.now))
            turn.resumed.append(node_id)


def move(turn: Turn, command: MoveSlots) -> None:
    """Takes in which places nodes of an execution below ask for and return, in whatever order that becomes known."""
    for node_id, number in command.asked:
        place = SlotKey(command.execution, node_id, number)
        if place not in turn.state.lent:
            turn.emit(facts.SlotQueued(node=_identifier(turn, place), number=number, occurred_at=turn.now))
    for node_id, number in command.returned:
        place = SlotKey(command.execution, node_id, number)
        known = turn.state.lent.get(place)
        if known is None or known.phase is not SlotPhase.FREED:
            turn.emit(facts.SlotFreed(node=_identifier(turn, place), number=number, occurred_at=turn.now))


def _identifier(turn: Turn, place: SlotKey) -> NodeExecutionIdentifier:
    # Children are where their parents are.
    root = turn.state.created.id
    execution_id = WorkflowExecutionIdentifier(project=root.project, domain=root.domain, name=place.execution)
    return NodeExecutionIdentifier(node_id=place.node_id, execution_id=execution_id)
