"""What the nodes of an execution wait for, as its state tells it. Pure."""

from collections.abc import Iterator
from datetime import datetime

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.queue_service_pb2 import Wait
from services.execution.engine import Execution, NodePhase, NodeState
from services.execution.engine.state import Reservation, SlotKey
from services.execution.engine.timeouts import timer_id


def waits(state: Execution, now: datetime) -> Iterator[Wait]:
    """The open nodes that do not consist of others, in the order in which they were queued."""
    places = {place: position for position, place in enumerate(state.waiting_in_order(), 1)}
    for node in state.open_nodes():
        wait = Wait(node_id=node.node_id, parent_node_id=node.parent_id, attempt=node.attempt_number)
        if node.element is not None:
            wait.element = node.element
        if _fill(wait, state, node, places, now):
            yield wait


def _fill(wait: Wait, state: Execution, node: NodeState, places: dict[str | SlotKey, int], now: datetime) -> bool:
    """Says what a node waits for; False when that are other nodes of this execution, or nothing that can be named."""
    attempt = node.live_attempt
    if node.phase is NodePhase.ASKING or node.storing is not None:
        wait.kind = Wait.CACHE
    elif attempt is not None:
        wait.kind = Wait.CHILD_EXECUTION if attempt.child else Wait.ATTEMPT
        wait.name, wait.phase, wait.reason = attempt.child, attempt.reported, attempt.reason
        wait.stopping = attempt.abort_reason if attempt.stopping else ""
    elif node.phase is NodePhase.FAILING:
        return False
    elif node.kind == facts.GATE:
        return _gate(wait, state, node)
    elif (due := _pause(state, node, now)) is not None:
        wait.kind = Wait.RETRY
        wait.due.FromDatetime(due)
    elif node.reservation in (Reservation.ASKED, Reservation.AWAITED) and node.cache is not None:
        wait.kind, wait.name = Wait.RESERVATION, f"{node.cache.key.dataset.name} {node.cache.key.tag}"
    elif node.node_id in places:
        wait.kind, wait.position = Wait.PLACE, places[node.node_id]
        wait.limit = max(0, state.created.config.max_parallelism)
        wait.name = state.created.config.parallelism_root.name if node.slot else ""
    else:
        return False
    return True


def _gate(wait: Wait, state: Execution, node: NodeState) -> bool:
    for signal_id, signal in state.signals.items():
        if node.node_id in signal.gates:
            wait.kind, wait.name = Wait.SIGNAL, signal_id
            return True
    timer = state.timers.get(timer_id(node.node_id, facts.SLEEP, node.attempt_number))
    if timer is None:
        return False
    wait.kind = Wait.SLEEP
    wait.due.FromDatetime(timer.due)
    return True


def _pause(state: Execution, node: NodeState, now: datetime) -> datetime | None:
    """When the pause before the node's next attempt ends, if it is in one."""
    timer = state.timers.get(timer_id(node.node_id, facts.RETRY, node.attempt_number))
    return timer.due if timer is not None and timer.due > now else None
