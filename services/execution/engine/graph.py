"""Who is ready: a node that has ended lets the nodes after it start, be skipped, or ends the workflow around it.

A step looks at the successors of the node that ended and at their other upstream nodes, never at the whole graph
(engine-semantics §2.2, §1.3).
"""

from functools import partial
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import (
    arrays,
    attempts,
    branches,
    caching,
    child_executions,
    echo,
    failure,
    gates,
    handlers,
    offloading,
    recovery,
    slots,
    subworkflows,
    timeouts,
)
from services.execution.engine.bindings import BindingFailed, resolved
from services.execution.engine.program import Node, ProgramError
from services.execution.engine.state import NodePhase, NodeState, SlotKey
from services.execution.engine.turn import DataLost, DataMissing, Frame, Turn

BINDING_FAILED: Final = "BindingResolutionFailure"


def settle(turn: Turn) -> None:
    """Draws all consequences of what happened in this turn, then gives free places to nodes that wait for one."""
    while turn.ended or turn.drained or turn.missed or turn.resumed or turn.slotless or slots.free(turn):
        if turn.ended:
            _follow(turn, turn.state.nodes[turn.ended.popleft()])
        elif turn.drained:
            _handle_failure(turn, turn.drained.popleft())
        elif turn.missed:
            _queue_missed(turn, turn.missed.popleft())
        elif turn.resumed:
            _run(turn, turn.resumed.popleft())
        elif turn.slotless:
            slots.ask(turn, turn.slotless.popleft())
        else:
            first = next(turn.state.waiting_in_order())
            if isinstance(first, SlotKey):
                slots.grant(turn, first)
            else:
                _run(turn, first)


def _run(turn: Turn, node_id: str) -> None:
    """Begins a node's attempt: its first one, or a further one whose back-off is over."""
    state = turn.state.nodes[node_id]
    if state.phase.terminal:
        # A failure in the same decision has ended it already.
        return
    if caching.reserves(turn, state):
        return
    if state.kind == facts.TASK:
        _run_task(turn, state)
        return
    if state.phase == NodePhase.QUEUED:
        turn.emit(facts.NodeStarted(node_id=node_id, occurred_at=turn.now))
    timeouts.begin(turn, turn.node(state), state)
    match state.kind:
        case facts.SUB_WORKFLOW:
            subworkflows.run(turn, node_id)
        case facts.BRANCH:
            branches.run(turn, node_id)
            _consider_arm(turn, node_id)
        case facts.GATE:
            gates.run(turn, node_id)
        case facts.ARRAY:
            arrays.run(turn, node_id)
        case facts.LAUNCH_PLAN:
            child_executions.request(turn, node_id)
        case kind:
            raise ProgramError(f"node [{node_id}] is of a kind that is not supported: {facts.NodeKind.Name(kind)}")


def _run_task(turn: Turn, state: NodeState) -> None:
    if recovery.replans(turn, state):
        return
    node = turn.node(state)
    if not echo.runs(node):
        attempts.schedule(turn, state.node_id)
        return
    try:
        echo.run(turn, node, state.node_id, _resolved_inputs(turn, state))
    except DataMissing:
        return


def _follow(turn: Turn, node: NodeState) -> None:
    parent_id = node.parent_id
    if turn.stopping(parent_id):
        failure.drained(turn, parent_id)
    elif node.phase == NodePhase.ABORTED:
        # It belongs to an attempt of its parent that is over; the next one has nodes of its own.
        return
    elif parent_id and turn.state.nodes[parent_id].kind == facts.ARRAY:
        arrays.element_ended(turn, node)
    elif node.phase in (NodePhase.FAILED, NodePhase.TIMED_OUT) and turn.program.fails_immediately:
        failure.fail_scope(turn, node)
    elif parent_id and turn.state.nodes[parent_id].kind == facts.BRANCH:
        branches.ended(turn, node)
    elif node.kind == facts.END:
        subworkflows.completed(turn, node)
    else:
        frame = turn.frame(parent_id)
        ended = frame.workflow.node(node.spec_node_id)
        for spec_node_id in ended.downstream:
            _consider(turn, frame, frame.workflow.node(spec_node_id))
            if turn.stopping(parent_id):
                return
        for spec_node_id in ended.feeds:
            _consider_arm(turn, frame.unique_id(spec_node_id))


def _consider_arm(turn: Turn, branch_id: str) -> None:
    """Starts the arm that a branch has taken, or one in its arm, when the nodes before it have ended."""
    arm = branches.waiting_arm(turn, branch_id)
    if arm is not None:
        frame, spec_node_id = arm
        _consider(turn, frame, frame.workflow.node(spec_node_id))


def _handle_failure(turn: Turn, parent_id: str) -> None:
    if handlers.awaited(turn, parent_id):
        frame = turn.frame(parent_id)
        failure_node = frame.workflow.failure_node
        _start(turn, frame, frame.workflow.node(failure_node), frame.unique_id(failure_node))


def _consider(turn: Turn, frame: Frame, node: Node) -> None:
    """Starts a node when all nodes before it have ended; skips it when one of them did not succeed."""
    nodes = turn.state.nodes
    node_id = frame.unique_id(node.id)
    # A node with more upstream nodes than have ended cannot be ready: spares looking at each of a thousand.
    known = nodes.get(node_id)
    if known is not None or turn.state.scope(frame.source_parent).terminal < len(node.upstream):
        if known is not None and (known.parent_id, known.spec_node_id) != (frame.parent_id, node.id):
            # One of them would never run, and nothing would ever tell.
            raise ProgramError(f"two nodes have the id [{node_id}]: rename [{node.id}] or [{known.spec_node_id}]")
        return
    skipped = False
    for upstream_id in reversed(node.upstream):
        upstream = nodes.get(frame.source_id(upstream_id))
        if upstream is None or not upstream.phase.terminal:
            return
        skipped = skipped or not upstream.phase.succeeded
    if skipped:
        _skip(turn, frame, node, node_id)
    else:
        _start(turn, frame, node, node_id)


def _skip(turn: Turn, frame: Frame, node: Node, node_id: str) -> None:
    turn.emit(
        facts.NodeSkipped(
            node_id=node_id,
            spec_node_id=node.id,
            parent_node_id=frame.parent_id,
            retry_group=frame.retry_group,
            kind=node.kind,
            name=node.name,
            visible=True,
            occurred_at=turn.now,
        )
    )
    turn.ended.append(node_id)


def _start(turn: Turn, frame: Frame, node: Node, node_id: str) -> None:
    queued = frame.queued(node, turn.now)
    queued.without_slot = slots.unneeded(turn, node)
    try:
        inputs = _inputs(turn, frame, node)
    except DataMissing:
        # Noted in the turn; going on collects what other nodes lack as well.
        return
    except (BindingFailed, DataLost) as error:
        if isinstance(error, DataLost) and not queued.handles_failure:
            raise
        turn.emit(queued)
        _fail_binding(turn, node_id, error)
        return
    if queued.handles_failure:
        inputs = handlers.with_error(turn, frame.parent_id, failure.cause(turn, frame.parent_id), node, inputs)
    queued.inputs.CopyFrom(turn.write(f"{queued.data_prefix}/inputs.pb", inputs))
    try:
        if recovery.reuses(turn, queued):
            return
    except DataMissing:
        return
    if not caching.asks(turn, node, queued, inputs):
        _queue(turn, node, queued, inputs)


def _queue_missed(turn: Turn, queued: facts.NodeQueued) -> None:
    """Queues a node that was asked about; the catalog knows no result of it."""
    state = turn.state.nodes[queued.node_id]
    if state.phase != NodePhase.ASKING:
        # A failure in the same decision has ended it already.
        return
    try:
        inputs = _resolved_inputs(turn, state)
    except DataMissing:
        return
    _queue(turn, turn.node(state), queued, inputs)


def _resolved_inputs(turn: Turn, state: NodeState) -> LiteralMap:
    """The inputs of a node that was ready before. Raises DataMissing."""
    if state.element is not None:
        return arrays.inputs_of(turn, state)
    assert state.inputs is not None
    return turn.literals(state.inputs.uri)


def _queue(turn: Turn, node: Node, queued: facts.NodeQueued, inputs: LiteralMap) -> None:
    """Queues a ready node, and runs it where it needs no place among the running ones."""
    node_id = queued.node_id
    turn.emit(queued)
    unreadable = offloading.refusal(turn.settings.offloading, node, inputs)
    if unreadable is not None:
        turn.fail(node_id, unreadable)
    elif node.kind == facts.END:
        turn.emit(facts.NodeSucceeded(node_id=node_id, occurred_at=turn.now))
        turn.ended.append(node_id)
    elif echo.runs(node) and not queued.cache.serializes:
        echo.run(turn, node, node_id, inputs)
    elif turn.state.nodes[node_id].order not in turn.state.waiting:
        turn.resumed.append(node_id)


def _inputs(turn: Turn, frame: Frame, node: Node) -> LiteralMap:
    """The inputs of a node whose upstream nodes have all succeeded. Raises DataMissing and BindingFailed."""
    nodes = turn.state.nodes
    outputs: dict[str, LiteralMap] = {}
    missing: DataMissing | None = None
    for spec_node_id in node.sources:
        source = nodes.get(frame.source_id(spec_node_id))
        if source is None or source.outputs is None or not source.outputs.sha256:
            raise BindingFailed(f"node [{spec_node_id}] has no outputs")
        try:
            outputs[spec_node_id] = turn.literals(source.outputs.uri)
        except DataMissing as error:
            missing = error
    if missing is not None:
        raise missing
    return resolved(node.inputs, outputs, partial(offloading.whole, turn))


def _fail_binding(turn: Turn, node_id: str, error: BindingFailed | DataLost) -> None:
    reported = ExecutionError(code=BINDING_FAILED, message=str(error), kind=ExecutionError.SYSTEM)
    turn.fail(node_id, reported)
