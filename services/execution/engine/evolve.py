"""The fold: what each fact changes of an execution's state. Pure and total for every history the engine wrote.

A fact of a kind this release does not know changes nothing, so that an older engine can read on.
"""

from collections.abc import Callable, Iterable
from datetime import UTC
from typing import Any

from flyteidl.core.catalog_pb2 import CACHE_HIT, CACHE_POPULATED
from flyteidl.core.execution_pb2 import TaskExecution
from google.protobuf.message import Message

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution.engine.copies import replace
from services.execution.engine.state import (
    ArrayState,
    AttemptPhase,
    AttemptState,
    Execution,
    ExecutionPhase,
    NodePhase,
    NodeState,
    PlanState,
    Reservation,
    SignalState,
    SlotKey,
    SlotPhase,
    SlotState,
    TimerState,
    shown,
)


class BrokenHistory(Exception):
    """A fact that cannot follow the ones before it."""


def evolve(state: Execution | None, fact: Message) -> Execution:
    """The state after one more fact.

    Raises:
        BrokenHistory: the first fact is not ExecutionCreated, or a fact speaks of a node that was never queued.
    """
    if state is None:
        if not isinstance(fact, facts.ExecutionCreated):
            raise BrokenHistory(f"an execution begins with ExecutionCreated, not with {type(fact).__name__}")
        return Execution(created=fact)
    change = _CHANGES.get(type(fact))
    return state if change is None else change(state, fact)


def fold(history: Iterable[Message], state: Execution | None = None) -> Execution:
    """The state after a history, from the beginning or from an earlier state on.

    Raises:
        BrokenHistory: as `evolve`; also when there is neither a state nor a fact.
    """
    for fact in history:
        state = evolve(state, fact)
    if state is None:
        raise BrokenHistory("no facts")
    return state


def _node(state: Execution, node_id: str) -> NodeState:
    node = state.nodes.get(node_id)
    if node is None:
        raise BrokenHistory(f"node [{node_id}] was never queued")
    return node


def _attempt(node: NodeState, number: int) -> AttemptState:
    attempt = node.attempt
    if attempt is None or attempt.number != number:
        raise BrokenHistory(f"attempt [{number}] of node [{node.node_id}] was never scheduled")
    return attempt


def _with_node(state: Execution, node: NodeState) -> Execution:
    return replace(state, nodes=state.nodes.set(node.node_id, node))


def _execution_waiting(state: Execution, _: facts.ExecutionWaiting) -> Execution:
    return replace(state, in_line=True)


def _execution_started(state: Execution, _: facts.ExecutionStarted) -> Execution:
    return replace(state, phase=ExecutionPhase.RUNNING)


def _execution_failing(state: Execution, fact: facts.ExecutionFailing) -> Execution:
    return replace(state, phase=ExecutionPhase.FAILING, error=fact.error, failed_node_id=fact.node_id)


def _abort_requested(state: Execution, _: facts.AbortRequested) -> Execution:
    return replace(state, phase=ExecutionPhase.ABORTING)


def _execution_succeeded(state: Execution, _: facts.ExecutionSucceeded) -> Execution:
    return replace(state, phase=ExecutionPhase.SUCCEEDED)


def _execution_failed(state: Execution, fact: facts.ExecutionFailed) -> Execution:
    return replace(state, phase=ExecutionPhase.FAILED, error=fact.error)


def _execution_aborted(state: Execution, _: facts.ExecutionAborted) -> Execution:
    return replace(state, phase=ExecutionPhase.ABORTED)


def _execution_deleted(state: Execution, _: facts.ExecutionDeleted) -> Execution:
    return replace(state, deleted=True)


def _node_queued(state: Execution, fact: facts.NodeQueued) -> Execution:
    known = state.nodes.get(fact.node_id)
    if known is not None and known.phase == NodePhase.ASKING:
        cache = fact.cache if fact.HasField("cache") else None
        return _waits(state, replace(known, phase=NodePhase.QUEUED, asked=None, cache=cache))
    order = state.queued
    parent_id = fact.parent_node_id
    scope = state.scope(parent_id)
    node = NodeState(
        node_id=fact.node_id,
        spec_node_id=fact.spec_node_id,
        parent_id=parent_id,
        kind=fact.kind,
        order=order,
        phase=NodePhase.QUEUED,
        data_prefix=fact.data_prefix,
        inputs=_inputs(state, fact),
        element=fact.element if fact.HasField("element") else None,
        handles_failure=fact.handles_failure,
        cache=fact.cache if fact.HasField("cache") else None,
        without_slot=fact.without_slot,
    )
    scope = replace(scope, open=scope.open + 1, handler=fact.node_id if fact.handles_failure else scope.handler)
    return _waits(replace(state, scopes=state.scopes.set(parent_id, scope), queued=order + 1), node)


def _waits(state: Execution, node: NodeState) -> Execution:
    """A node is queued; where places are limited, it waits for one, at its place in the order."""
    nodes = state.nodes.set(node.node_id, node)
    # An array node takes a place among the running nodes for all its elements (engine-semantics §1.6).
    if not node.takes_slot or node.element is not None:
        return replace(state, nodes=nodes)
    waiting = state.waiting.set(node.order, node.node_id)
    return replace(state, nodes=nodes, waiting=waiting, waiting_from=min(state.waiting_from, node.order))


def _cache_asked(state: Execution, fact: facts.CacheAsked) -> Execution:
    state = _node_queued(state, fact.node)
    node = replace(_node(state, fact.node.node_id), phase=NodePhase.ASKING, asked=fact.node, cache=None)
    state = _with_node(state, node)
    return _no_longer_waiting(state, node.order) if node.order in state.waiting else state


def _reservation_asked(state: Execution, fact: facts.ReservationAsked) -> Execution:
    node = replace(_node(state, fact.node_id), reservation=Reservation.ASKED)
    return _takes_place(state, node) if node.takes_slot else _with_node(state, node)


def _reservation_awaited(state: Execution, fact: facts.ReservationAwaited) -> Execution:
    node = _node(state, fact.node_id)
    slots = state.slots - node.holds_slot
    return replace(_with_node(state, replace(node, reservation=Reservation.AWAITED, holds_slot=False)), slots=slots)


def _reservation_held(state: Execution, fact: facts.ReservationHeld) -> Execution:
    node = replace(_node(state, fact.node_id), reservation=Reservation.HELD)
    if fact.overwrites and node.cache is not None:
        cache = facts.CacheUse()
        cache.CopyFrom(node.cache)
        cache.overwrites = True
        node = replace(node, cache=cache)
    return _with_node(state, node)


def _reservation_released(state: Execution, fact: facts.ReservationReleased) -> Execution:
    return _with_node(state, replace(_node(state, fact.node_id), reservation=Reservation.NONE))


def _slot_awaited(state: Execution, fact: facts.SlotAwaited) -> Execution:
    return _waits(state, _node(state, fact.node_id))


def _slot_asked(state: Execution, fact: facts.SlotAsked) -> Execution:
    node = replace(_node(state, fact.node_id), slot=fact.number)
    return replace(_with_node(state, node), asked=max(state.asked, fact.number))


def _slot_taken(state: Execution, fact: facts.SlotTaken) -> Execution:
    return _takes_place(state, _node(state, fact.node_id))


def _slot_returned(state: Execution, fact: facts.SlotReturned) -> Execution:
    return _with_node(state, replace(_node(state, fact.node_id), slot=0))


def _slot_queued(state: Execution, fact: facts.SlotQueued) -> Execution:
    place, order = _place(fact), state.queued
    return replace(
        state,
        lent=state.lent.set(place, SlotState(SlotPhase.WAITING, order)),
        waiting=state.waiting.set(order, place),
        waiting_from=min(state.waiting_from, order),
        queued=order + 1,
    )


def _slot_granted(state: Execution, fact: facts.SlotGranted) -> Execution:
    place = _place(fact)
    granted = SlotState(SlotPhase.GRANTED)
    order = state.lent.get(place, granted).order
    state = replace(state, lent=state.lent.set(place, granted), slots=state.slots + 1)
    return _no_longer_waiting(state, order) if order in state.waiting else state


def _slot_freed(state: Execution, fact: facts.SlotFreed) -> Execution:
    place = _place(fact)
    known = state.lent.get(place, SlotState(SlotPhase.FREED))
    slots = state.slots - (known.phase is SlotPhase.GRANTED)
    state = replace(state, lent=state.lent.set(place, SlotState(SlotPhase.FREED)), slots=slots)
    return _no_longer_waiting(state, known.order) if known.order in state.waiting else state


def _place(fact: facts.SlotQueued | facts.SlotGranted | facts.SlotFreed) -> SlotKey:
    return SlotKey(fact.node.execution_id.name, fact.node.node_id, fact.number)


def _cache_put_requested(state: Execution, fact: facts.CachePutRequested) -> Execution:
    return _with_node(state, replace(_node(state, fact.node_id), storing=fact))


def _inputs(state: Execution, fact: facts.NodeQueued) -> DataRef | None:
    if fact.HasField("inputs"):
        return fact.inputs
    return _node(state, fact.parent_node_id).inputs if fact.HasField("element") else None


def _node_skipped(state: Execution, fact: facts.NodeSkipped) -> Execution:
    scope = state.scope(fact.parent_node_id)
    node = NodeState(
        node_id=fact.node_id,
        spec_node_id=fact.spec_node_id,
        parent_id=fact.parent_node_id,
        kind=fact.kind,
        order=state.queued,
        phase=NodePhase.SKIPPED,
    )
    return replace(
        state,
        nodes=state.nodes.set(fact.node_id, node),
        scopes=state.scopes.set(fact.parent_node_id, replace(scope, terminal=scope.terminal + 1)),
        queued=state.queued + 1,
    )


def _node_started(state: Execution, fact: facts.NodeStarted) -> Execution:
    node = replace(_node(state, fact.node_id), phase=NodePhase.RUNNING)
    return _takes_place(state, node) if node.kind == facts.ARRAY else _with_node(state, node)


def _takes_place(state: Execution, node: NodeState) -> Execution:
    """A node that waited, if it was to wait, goes on; it counts towards max_parallelism unless its array does."""
    takes = node.element is None and not node.holds_slot and not node.without_slot
    node = replace(node, holds_slot=node.holds_slot or takes)
    state = replace(state, nodes=state.nodes.set(node.node_id, node), slots=state.slots + takes)
    return _no_longer_waiting(state, node.order) if node.order in state.waiting else state


def _node_failing(state: Execution, fact: facts.NodeFailing) -> Execution:
    node = replace(
        _node(state, fact.node_id),
        phase=NodePhase.FAILING,
        ending=fact.ending,
        error=fact.error if fact.HasField("error") else None,
    )
    return _with_node(state, node)


def _node_succeeded(state: Execution, fact: facts.NodeSucceeded) -> Execution:
    node = _node(state, fact.node_id)
    outputs = fact.outputs if fact.HasField("outputs") else None
    # Who has a result in the cache, or found one there, has given the reservation back by that.
    cached = fact.cache_status in (CACHE_HIT, CACHE_POPULATED)
    ended = replace(
        node,
        phase=NodePhase.SUCCEEDED,
        outputs=outputs,
        holds_slot=False,
        storing=None,
        reservation=Reservation.NONE if cached else node.reservation,
    )
    return _ended(state, ended, node)


def _node_failed(state: Execution, fact: facts.NodeFailed) -> Execution:
    node = _node(state, fact.node_id)
    return _ended(state, replace(node, phase=NodePhase.FAILED, error=fact.error, holds_slot=False), node)


def _node_recovered(state: Execution, fact: facts.NodeRecovered) -> Execution:
    node = _node(state, fact.node_id)
    outputs = fact.outputs if fact.HasField("outputs") else None
    return _ended(state, replace(node, phase=NodePhase.RECOVERED, outputs=outputs, holds_slot=False), node)


def _node_timed_out(state: Execution, fact: facts.NodeTimedOut) -> Execution:
    node = _node(state, fact.node_id)
    return _ended(state, replace(node, phase=NodePhase.TIMED_OUT, holds_slot=False), node)


def _node_aborted(state: Execution, fact: facts.NodeAborted) -> Execution:
    node = _node(state, fact.node_id)
    return _ended(state, replace(node, phase=NodePhase.ABORTED, error=fact.error, holds_slot=False), node)


def _ended(state: Execution, node: NodeState, before: NodeState) -> Execution:
    scope = state.scope(node.parent_id)
    failed = node.element is None and node.phase in (NodePhase.FAILED, NodePhase.TIMED_OUT)
    scope = replace(
        scope,
        open=scope.open - 1,
        terminal=scope.terminal + 1,
        failed=(*scope.failed, node.node_id) if failed else scope.failed,
    )
    ended = replace(
        state,
        nodes=state.nodes.set(node.node_id, node),
        scopes=state.scopes.set(node.parent_id, scope),
        slots=state.slots - before.holds_slot,
    )
    if node.element is not None and not node.phase.succeeded:
        ended = _element_failed(ended, node.parent_id)
    return _no_longer_waiting(ended, node.order) if node.order in ended.waiting else ended


def _element_failed(state: Execution, array_id: str) -> Execution:
    node = _node(state, array_id)
    if node.array is None:
        return state
    return _with_node(state, replace(node, array=replace(node.array, failed=node.array.failed + 1)))


def _no_longer_waiting(state: Execution, order: int) -> Execution:
    waiting = state.waiting.delete(order)
    start = state.waiting_from if waiting else state.queued
    while start < state.queued and start not in waiting:
        start += 1
    return replace(state, waiting=waiting, waiting_from=start)


def _attempt_scheduled(state: Execution, fact: facts.AttemptScheduled) -> Execution:
    node = replace(
        _node(state, fact.node_id),
        attempt_number=fact.attempt,
        attempt=AttemptState(
            number=fact.attempt,
            output_prefix=fact.results_prefix or fact.output_prefix,
            checkpoint_prefix=fact.checkpoint_prefix,
        ),
        previous_checkpoint=fact.checkpoint_prefix,
    )
    if not fact.in_engine:
        return _takes_place(state, node)
    state = _with_node(state, node)
    return _no_longer_waiting(state, node.order) if node.order in state.waiting else state


def _child_requested(state: Execution, fact: facts.ChildExecutionRequested) -> Execution:
    node = replace(
        _node(state, fact.node_id),
        attempt_number=fact.attempt,
        attempt=AttemptState(
            number=fact.attempt,
            output_prefix=fact.output_prefix,
            checkpoint_prefix="",
            child=fact.execution_id.name,
        ),
    )
    return _takes_place(state, node)


def _attempt_progressed(state: Execution, fact: facts.AttemptProgressed) -> Execution:
    node = _node(state, fact.node_id)
    before = _attempt(node, fact.attempt)
    attempt = replace(
        before,
        reported=fact.phase,
        version=fact.phase_version,
        reason=fact.reason,
        shown=shown(fact),
        ran=before.ran or fact.phase == TaskExecution.RUNNING,
    )
    return _with_node(state, replace(node, attempt=attempt))


def _attempt_aborting(state: Execution, fact: facts.AttemptAborting | facts.ChildExecutionAborting) -> Execution:
    node = _node(state, fact.node_id)
    attempt = replace(
        _attempt(node, fact.attempt),
        phase=AttemptPhase.ABORTING,
        abort_reason=fact.reason,
        timed_out=fact.timed_out,
        late=fact.error if isinstance(fact, facts.AttemptAborting) and fact.HasField("error") else None,
    )
    return _with_node(state, replace(node, attempt=attempt))


def _attempt_ended(phase: TaskExecution.Phase) -> Callable[[Execution, Any], Execution]:
    def change(
        state: Execution,
        fact: facts.AttemptSucceeded | facts.AttemptFailed | facts.AttemptAborted | facts.ChildExecutionEnded,
    ) -> Execution:
        node = _node(state, fact.node_id)
        attempt = replace(_attempt(node, fact.attempt), phase=AttemptPhase.ENDED, reported=phase)
        return _with_node(state, replace(node, attempt=attempt))

    return change


def _retry_scheduled(state: Execution, fact: facts.RetryScheduled) -> Execution:
    node = replace(
        _node(state, fact.node_id),
        phase=NodePhase.RUNNING,
        attempt_number=fact.attempt,
        attempt=None,
        system_failures=fact.system_failures,
        ending=facts.NODE_ENDING_UNSPECIFIED,
        error=None,
        plan=None,
        array=None,
        taken="",
    )
    # A dynamic node left its place to its children, and waits for one again.
    retried = _with_node(state, node) if node.holds_slot else _waits(state, node)
    if node.node_id in retried.scopes:
        # The next attempt has children of its own.
        return replace(retried, scopes=retried.scopes.delete(node.node_id))
    return retried


def _timer_set(state: Execution, fact: facts.TimerSet) -> Execution:
    timer = TimerState(kind=fact.kind, node_id=fact.node_id, attempt=fact.attempt, due=fact.due.ToDatetime(tzinfo=UTC))
    return replace(state, timers=state.timers.set(fact.timer_id, timer))


def _branch_taken(state: Execution, fact: facts.BranchTaken) -> Execution:
    return _with_node(state, replace(_node(state, fact.node_id), taken=fact.spec_node_id))


def _dynamic_planned(state: Execution, fact: facts.DynamicPlanned) -> Execution:
    node = _node(state, fact.node_id)
    plan = PlanState(closure=fact.closure, job_spec=fact.job_spec)
    # From now on its children take places, each for itself (engine-semantics §1.6).
    state = _with_node(state, replace(node, plan=plan, holds_slot=False))
    state = replace(state, slots=state.slots - node.holds_slot)
    # A recovered plan begins without an attempt.
    return _no_longer_waiting(state, node.order) if node.order in state.waiting else state


def _array_planned(state: Execution, fact: facts.ArrayPlanned) -> Execution:
    array = ArrayState(size=fact.size, min_successes=fact.min_successes, parallelism=fact.parallelism)
    return _with_node(state, replace(_node(state, fact.node_id), array=array))


def _signal_awaited(state: Execution, fact: facts.SignalAwaited) -> Execution:
    known = state.signals.get(fact.signal_id)
    signal = known if known is not None else SignalState(type=fact.type)
    if fact.node_id and fact.node_id not in signal.gates:
        signal = replace(signal, gates=(*signal.gates, fact.node_id))
    return replace(state, signals=state.signals.set(fact.signal_id, signal))


def _signal_set(state: Execution, fact: facts.SignalSet) -> Execution:
    signal = state.signals.get(fact.signal_id)
    if signal is None:
        raise BrokenHistory(f"signal [{fact.signal_id}] was never awaited")
    return replace(state, signals=state.signals.set(fact.signal_id, replace(signal, value=fact.value)))


_CHANGES: dict[type[Message], Callable[[Execution, Any], Execution]] = {
    facts.ExecutionWaiting: _execution_waiting,
    facts.ExecutionStarted: _execution_started,
    facts.ExecutionFailing: _execution_failing,
    facts.AbortRequested: _abort_requested,
    facts.ExecutionSucceeded: _execution_succeeded,
    facts.ExecutionFailed: _execution_failed,
    facts.ExecutionAborted: _execution_aborted,
    facts.ExecutionDeleted: _execution_deleted,
    facts.CacheAsked: _cache_asked,
    facts.NodeQueued: _node_queued,
    facts.NodeStarted: _node_started,
    facts.NodeFailing: _node_failing,
    facts.NodeSucceeded: _node_succeeded,
    facts.NodeRecovered: _node_recovered,
    facts.NodeFailed: _node_failed,
    facts.NodeTimedOut: _node_timed_out,
    facts.NodeAborted: _node_aborted,
    facts.NodeSkipped: _node_skipped,
    facts.AttemptScheduled: _attempt_scheduled,
    facts.AttemptProgressed: _attempt_progressed,
    facts.AttemptSucceeded: _attempt_ended(TaskExecution.SUCCEEDED),
    facts.AttemptFailed: _attempt_ended(TaskExecution.FAILED),
    facts.AttemptAborting: _attempt_aborting,
    facts.AttemptAborted: _attempt_ended(TaskExecution.ABORTED),
    facts.ChildExecutionRequested: _child_requested,
    facts.ChildExecutionAborting: _attempt_aborting,
    facts.ChildExecutionEnded: _attempt_ended(TaskExecution.UNDEFINED),
    facts.ReservationAsked: _reservation_asked,
    facts.ReservationAwaited: _reservation_awaited,
    facts.ReservationHeld: _reservation_held,
    facts.ReservationReleased: _reservation_released,
    facts.CachePutRequested: _cache_put_requested,
    facts.BranchTaken: _branch_taken,
    facts.DynamicPlanned: _dynamic_planned,
    facts.ArrayPlanned: _array_planned,
    facts.SignalAwaited: _signal_awaited,
    facts.SignalSet: _signal_set,
    facts.RetryScheduled: _retry_scheduled,
    facts.SlotAwaited: _slot_awaited,
    facts.SlotAsked: _slot_asked,
    facts.SlotTaken: _slot_taken,
    facts.SlotReturned: _slot_returned,
    facts.SlotQueued: _slot_queued,
    facts.SlotGranted: _slot_granted,
    facts.SlotFreed: _slot_freed,
    facts.TimerSet: _timer_set,
}
