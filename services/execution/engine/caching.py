"""Caching: a node whose result is known does not run, and a new result is known before the node has succeeded.

The catalog keeps the results; it is asked by facts and answers by a command (engine-semantics §4). While an answer is
awaited, the node can be stopped like any other. Whoever waits for an answer waits as long as it takes: the question is
on the log.
"""

from typing import Final

from flyteidl.core.catalog_pb2 import CatalogArtifactTag, CatalogCacheStatus, CatalogMetadata
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CacheKey, InputHash
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_types import cache_keys
from flightlog_types.object_hash import encoded
from services.execution.engine import slots
from services.execution.engine.program import Node
from services.execution.engine.state import NodePhase, NodeState, Reservation
from services.execution.engine.turn import DataLost, DataMissing, Turn

_RESERVATIONS: Final = frozenset({CacheAnswer.RESERVED, CacheAnswer.AWAITING})


def asks(turn: Turn, node: Node, queued: facts.NodeQueued, inputs: LiteralMap) -> bool:
    """Asks for the result of a node that is ready, where there may be one; then it is queued only once there is none.

    Otherwise the caller queues it at once; the fact has been completed for that.

    Args:
        inputs: what the result depends on; of an array's element, its own.
    """
    use = _use(turn, node, inputs)
    if use is None:
        return False
    queued.cache.CopyFrom(use)
    if use.overwrites:
        return False
    turn.emit(facts.CacheAsked(node=queued, occurred_at=turn.now))
    return True


def _use(turn: Turn, node: Node, inputs: LiteralMap) -> facts.CacheUse | None:
    """The key of a node's result, and how it is used; None when it is not to be cached."""
    cache = node.cache
    if cache is None or not turn.settings.caching:
        return None
    try:
        digests = cache_keys.input_digests(_complete(inputs, cache.given), cache.ignored)
    except ValueError:
        # Nothing is equal to inputs that cannot be hashed.
        return None
    dataset = cache_keys.dataset(cache.entity, cache.interface, cache.version)
    return facts.CacheUse(
        key=CacheKey(dataset=dataset, tag=cache_keys.tag_of(digests)),
        overwrites=turn.state.created.config.overwrite_cache,
        serializes=cache.serializes,
        input_hashes=[InputHash(name=name, hash=encoded(digest)) for name, digest in digests.items()],
    )


def _complete(inputs: LiteralMap, given: LiteralMap) -> LiteralMap:
    if not given.literals:
        return inputs
    complete = LiteralMap()
    complete.CopyFrom(inputs)
    for name in given.literals.keys() - inputs.literals.keys():
        complete.literals[name].CopyFrom(given.literals[name])
    return complete


def reserves(turn: Turn, state: NodeState) -> bool:
    """Asks for the reservation that a node needs before it runs; False when it may run.

    It is asked for with a place to run in hand, and the place is given back while another node makes the result. So
    nobody who has a place waits for the result of a node that waits for one.
    """
    use = state.cache
    if use is None or not use.serializes or use.overwrites or state.reservation is not Reservation.NONE:
        return False
    turn.emit(facts.ReservationAsked(node_id=state.node_id, key=use.key, occurred_at=turn.now))
    return True


def succeed(turn: Turn, node_id: str, outputs: DataRef | None, deck_uri: str = "") -> None:
    """Ends a node that has done its work; where its outputs are to be cached, once the catalog has them."""
    state = turn.state.nodes[node_id]
    use = state.cache
    if use is None or outputs is None or not turn.settings.caching:
        turn.emit(facts.NodeSucceeded(node_id=node_id, outputs=outputs, deck_uri=deck_uri, occurred_at=turn.now))
        turn.ended.append(node_id)
        return
    cache = turn.node(state).cache
    assert cache is not None
    turn.emit(
        facts.CachePutRequested(
            node_id=node_id,
            attempt=state.attempt_number,
            key=use.key,
            outputs=outputs,
            deck_uri=deck_uri,
            task_id=cache.entity,
            overwrites=use.overwrites,
            input_hashes=use.input_hashes,
            inputs=_own_inputs(turn, state),
            occurred_at=turn.now,
        )
    )


def _own_inputs(turn: Turn, state: NodeState) -> DataRef | None:
    """The inputs that a result is of; most elements have none, they read those of their array."""
    if state.element is not None and state.inputs == turn.state.nodes[state.parent_id].inputs:
        return None
    return state.inputs


def answered(turn: Turn, answer: CacheAnswer) -> None:
    """Takes in what the catalog says about a node; what is late or repeated changes nothing."""
    state = turn.state.nodes.get(answer.node.node_id)
    if state is None:
        return
    if state.phase.terminal:
        if answer.kind in _RESERVATIONS:
            # It was asked for before the node ended, and granted after: nobody would ever give it back.
            turn.emit(facts.ReservationReleased(node_id=state.node_id, key=answer.key, occurred_at=turn.now))
    elif state.phase == NodePhase.ASKING:
        _looked_up(turn, state, answer)
    elif state.storing is not None:
        _stored(turn, state, state.storing, answer)
    elif state.reservation in (Reservation.ASKED, Reservation.AWAITED):
        _reserved(turn, state, answer)


def _looked_up(turn: Turn, state: NodeState, answer: CacheAnswer) -> None:
    asked = state.asked
    assert asked is not None
    queued = facts.NodeQueued()
    queued.CopyFrom(asked)
    if answer.kind == CacheAnswer.FOUND:
        try:
            outputs = _found(turn, state, answer)
        except DataMissing:
            return
        except DataLost:
            # As if it were not there: the new result takes its place.
            queued.cache.overwrites = True
        else:
            turn.emit(queued)
            _hit(turn, state.node_id, outputs, answer)
            return
    elif answer.kind != CacheAnswer.NOT_FOUND:
        return
    turn.missed.append(queued)


def _found(turn: Turn, state: NodeState, answer: CacheAnswer) -> LiteralMap:
    """The outputs of a result. Raises DataMissing, and DataLost where they are gone or cannot be this node's."""
    cache = turn.node(state).cache
    assert cache is not None
    outputs = turn.literals(answer.result.outputs.uri)
    if not cache.gives(outputs, of_element=state.element is not None):
        raise DataLost(f"[{answer.result.outputs.uri}] holds other outputs than the node has")
    return outputs


def _reserved(turn: Turn, state: NodeState, answer: CacheAnswer) -> None:
    held = facts.ReservationHeld(node_id=state.node_id, occurred_at=turn.now)
    match answer.kind:
        case CacheAnswer.FOUND:
            try:
                outputs = _found(turn, state, answer)
            except DataMissing:
                return
            except DataLost:
                held.overwrites = True
            else:
                _hit(turn, state.node_id, outputs, answer)
                return
        case CacheAnswer.AWAITING if slots.kept(turn, state):
            # Running twice is better than not at all: who makes the result may wait for the array's place.
            turn.emit(facts.ReservationReleased(node_id=state.node_id, key=answer.key, occurred_at=turn.now))
        case CacheAnswer.AWAITING:
            if state.reservation is Reservation.ASKED:
                turn.emit(facts.ReservationAwaited(node_id=state.node_id, occurred_at=turn.now))
            return
        case CacheAnswer.RESERVED | CacheAnswer.NOT_RESERVED:
            # Running twice is better than not at all.
            pass
        case _:
            return
    turn.emit(held)
    if slots.lacking(turn, state):
        turn.emit(facts.SlotAwaited(node_id=state.node_id, occurred_at=turn.now))
    else:
        turn.resumed.append(state.node_id)


def _hit(turn: Turn, node_id: str, outputs: LiteralMap, answer: CacheAnswer) -> None:
    """The node ends with the outputs of another; it has a copy of its own, unless an array gathers them."""
    state = turn.state.nodes[node_id]
    seen = _metadata(answer)
    seen.source_task_execution.CopyFrom(answer.result.source)
    found = answer.result.outputs
    if state.element is None:
        found = turn.write(f"{state.data_prefix}/{state.attempt_number}/outputs.pb", outputs)
    turn.emit(
        facts.NodeSucceeded(
            node_id=node_id,
            outputs=found,
            occurred_at=turn.now,
            cache_status=CatalogCacheStatus.CACHE_HIT,
            catalog_key=seen,
        )
    )
    turn.ended.append(node_id)


def _stored(turn: Turn, state: NodeState, request: facts.CachePutRequested, answer: CacheAnswer) -> None:
    match answer.kind:
        case CacheAnswer.STORED:
            status = CatalogCacheStatus.CACHE_POPULATED
            seen = _metadata(answer)
        case CacheAnswer.NOT_STORED:
            status = CatalogCacheStatus.CACHE_PUT_FAILURE
            seen = CatalogMetadata(dataset_id=answer.key.dataset)
        case _:
            return
    turn.emit(
        facts.NodeSucceeded(
            node_id=state.node_id,
            outputs=request.outputs,
            deck_uri=request.deck_uri,
            occurred_at=turn.now,
            cache_status=status,
            catalog_key=seen,
        )
    )
    turn.ended.append(state.node_id)


def _metadata(answer: CacheAnswer) -> CatalogMetadata:
    tag = CatalogArtifactTag(artifact_id=answer.result.artifact_id, name=answer.key.tag)
    return CatalogMetadata(dataset_id=answer.key.dataset, artifact_tag=tag)
