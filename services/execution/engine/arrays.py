"""Array nodes, the maps of flytekit: one node, run for each element of collections (engine-semantics §5.5, §5.6).

An element is a node like any other, with attempts, retries and deadlines of its own; what its end means for the array
is decided here. Every step costs as much for ten thousand elements as for ten: what is known of all elements together
is counted as they end, and they are looked through only where the array itself ends.
"""

from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution
from flyteidl.core.literals_pb2 import Literal, LiteralMap, Scalar, Void

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import caching, echo, failure, offloading, recovery
from services.execution.engine.outcomes import MESSAGE_LIMIT
from services.execution.engine.program import Array
from services.execution.engine.state import NodePhase, NodeState
from services.execution.engine.turn import DataMissing, Frame, Turn

INVALID_LENGTH: Final = "InvalidArrayLength"
TOO_LARGE: Final = "OutputSizeExceeded"
_NONE: Final = Literal(scalar=Scalar(none_type=Void()))
_MORE: Final = "... and many more."


class Unplannable(Exception):
    """The inputs do not say how many elements there are."""


def run(turn: Turn, node_id: str) -> None:
    """Begins an array's attempt: counts its elements, and starts as many as may run."""
    state = turn.state.nodes[node_id]
    array = _definition(turn, state)
    try:
        size = _size(turn, array, _inputs(turn, state))
        needed = _successes_needed(array, size)
    except DataMissing:
        return
    except Unplannable as error:
        _fail(turn, node_id, INVALID_LENGTH, str(error))
        return
    turn.emit(
        facts.ArrayPlanned(
            node_id=node_id,
            attempt=state.attempt_number,
            size=size,
            min_successes=needed,
            parallelism=array.parallelism or 0,
            task_id=array.task_id,
            occurred_at=turn.now,
        )
    )
    if not size:
        _succeed(turn, node_id)
        return
    try:
        recovery.look_at_elements(turn, turn.state.nodes[node_id], size)
        _start_elements(turn, node_id)
    except DataMissing:
        return


def element_ended(turn: Turn, element: NodeState) -> None:
    """An element of a running array has ended: starts the next one, or ends the array."""
    node_id = element.parent_id
    state = turn.state.nodes[node_id]
    array = state.array
    if array is None or element.element is None:
        return
    if turn.frame(node_id).unique_id(element.spec_node_id) != element.node_id:
        # It belongs to an attempt of the array that is over.
        return
    done = turn.state.scope(node_id).terminal == array.size
    lost = array.size - array.failed < array.min_successes
    if lost and (done or not _definition(turn, state).runs_all):
        failure.fail_node(turn, node_id, facts.ENDS_FAILED, _error(turn, state))
    elif done:
        _succeed(turn, node_id)
    else:
        try:
            _start_elements(turn, node_id)
        except DataMissing:
            return


def inputs_of(turn: Turn, element: NodeState) -> LiteralMap:
    """The inputs of one element: its item of each collection, the others as they are.

    Raises:
        DataMissing: the array's inputs have to be loaded first.
    """
    state = turn.state.nodes[element.parent_id]
    assert element.element is not None
    return _item(turn, _definition(turn, state), _inputs(turn, state), element.element)


def _definition(turn: Turn, state: NodeState) -> Array:
    array = turn.node(state).array
    assert array is not None
    return array


def _inputs(turn: Turn, state: NodeState) -> LiteralMap:
    assert state.inputs is not None
    return turn.literals(state.inputs.uri)


def _list(turn: Turn, array: Array, name: str, literal: Literal) -> Literal | None:
    """An input that is mapped over; None for one that is the same for all elements."""
    if name in array.bound_inputs:
        return None
    literal = offloading.whole(turn, literal)
    return literal if literal.WhichOneof("value") == "collection" else None


def _size(turn: Turn, array: Array, inputs: LiteralMap) -> int:
    if array.size is not None and array.element.cache is None:
        # Whatever its elements make of their indexes.
        return array.size
    sizes: dict[str, int] = {}
    for name in sorted(inputs.literals):
        mapped = _list(turn, array, name, inputs.literals[name])
        if mapped is not None:
            sizes[name] = len(mapped.collection.literals)
    if array.size is not None:
        for name, size in sizes.items():
            if size < array.size:
                raise Unplannable(f"[{name}] has {size} items, for {array.size} elements")
        return array.size
    if not sizes:
        if array.bound_inputs.issuperset(inputs.literals):
            return 1
        raise Unplannable("none of the inputs that are mapped over is a list")
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"[{name}] has {size}" for name, size in sizes.items())
        raise Unplannable(f"the lists that are mapped over have different lengths: {found}")
    return next(iter(sizes.values()))


def _successes_needed(array: Array, size: int) -> int:
    """How many elements must succeed. An empty list has none that could, and is fine."""
    if array.min_successes is not None:
        if size and array.min_successes > size:
            raise Unplannable(f"{array.min_successes} elements are to succeed, but there are only {size}")
        return min(array.min_successes, size)
    if array.min_success_ratio is None:
        return size
    # The message has single precision: 0.6 comes as a little more, of which the ceiling would be one element too many.
    exact = Decimal(f"{array.min_success_ratio:.7g}") * size
    return max(0, min(size, int(exact.to_integral_value(ROUND_CEILING))))


def _start_elements(turn: Turn, node_id: str) -> None:
    """Starts elements in the order of their indexes, as far as the array's parallelism allows."""
    state = turn.state.nodes[node_id]
    planned, array, frame = state.array, _definition(turn, state), turn.frame(node_id)
    assert planned is not None
    while True:
        scope = turn.state.scope(node_id)
        index = scope.open + scope.terminal
        if index >= planned.size or (planned.parallelism and scope.open >= planned.parallelism):
            return
        _start(turn, frame, array, state, index)


def _start(turn: Turn, frame: Frame, array: Array, state: NodeState, index: int) -> None:
    node = frame.workflow.node(f"n{index}")
    queued = frame.queued(node, turn.now, element=index)
    in_engine = echo.runs(node)
    inputs: LiteralMap | None = None
    if in_engine or array.individual_inputs or node.cache is not None:
        inputs = _item(turn, array, _inputs(turn, state), index)
        # Tasks that pick their element by its index read the array's own inputs.
        if array.individual_inputs and not in_engine:
            queued.inputs.CopyFrom(turn.write(f"{queued.data_prefix}/inputs.pb", inputs))
    if recovery.reuses(turn, queued):
        return
    if inputs is not None:
        if caching.asks(turn, node, queued, inputs):
            return
        if in_engine and not queued.cache.serializes:
            turn.emit(queued)
            echo.run(turn, node, queued.node_id, inputs)
            return
    turn.emit(queued)
    turn.resumed.append(queued.node_id)


def _item(turn: Turn, array: Array, inputs: LiteralMap, index: int) -> LiteralMap:
    found = LiteralMap()
    for name, literal in inputs.literals.items():
        mapped = _list(turn, array, name, literal)
        found.literals[name].CopyFrom(literal if mapped is None else mapped.collection.literals[index])
    return found


def _succeed(turn: Turn, node_id: str) -> None:
    """All elements have ended, enough of them well: their outputs become collections, in the order of the elements."""
    state = turn.state.nodes[node_id]
    try:
        outputs = _gathered(turn, state)
    except DataMissing:
        return
    prefix = f"{state.data_prefix}/{state.attempt_number}"
    for name in sorted(outputs.literals):
        uri = f"{prefix}/{offloading.file_name(name)}"
        try:
            stored = offloading.offloaded(turn, uri, outputs.literals[name])
        except offloading.LiteralTooLarge as error:
            reported = ExecutionError(code=TOO_LARGE, message=f"output [{name}]: {error}", kind=ExecutionError.USER)
            failure.fail_node(turn, node_id, facts.ENDS_FAILED, reported)
            return
        if stored is not outputs.literals[name]:
            outputs.literals[name].CopyFrom(stored)
    ref = turn.write(f"{prefix}/outputs.pb", outputs)
    turn.emit(
        facts.ArrayEnded(
            node_id=node_id,
            attempt=state.attempt_number,
            phase=TaskExecution.SUCCEEDED,
            outputs=ref,
            occurred_at=turn.now,
        )
    )
    turn.emit(facts.NodeSucceeded(node_id=node_id, outputs=ref, occurred_at=turn.now))
    turn.ended.append(node_id)


def _gathered(turn: Turn, state: NodeState) -> LiteralMap:
    """The collections of what the elements gave; one that failed gives None.

    Raises:
        DataMissing: outputs of elements have to be loaded first; all of them are noted.
    """
    gathered, names = LiteralMap(), _definition(turn, state).outputs
    items = {name: gathered.literals[name].collection.literals for name in names}
    for name in names:
        gathered.literals[name].collection.SetInParent()
    missing: DataMissing | None = None
    for element in _elements(turn, state) if names else ():
        found = LiteralMap()
        if element.phase.succeeded:
            try:
                found = turn.literals(_outputs_uri(element))
            except DataMissing as error:
                missing = error
        for name, collected in items.items():
            collected.append(found.literals.get(name, _NONE))
    if missing is not None:
        raise missing
    return gathered


def _elements(turn: Turn, state: NodeState) -> Iterator[NodeState]:
    """The elements that were started, in the order of their indexes."""
    frame, scope = turn.frame(state.node_id), turn.state.scope(state.node_id)
    for index in range(scope.open + scope.terminal):
        yield turn.state.nodes[frame.unique_id(f"n{index}")]


def _outputs_uri(element: NodeState) -> str:
    if element.outputs is not None:
        return element.outputs.uri
    # What ran in the engine wrote nothing: this decision still has what it gave.
    assert element.attempt is not None
    return f"{element.attempt.output_prefix}/outputs.pb"


def _fail(turn: Turn, node_id: str, code: str, message: str) -> None:
    error = ExecutionError(code=code, message=message, kind=ExecutionError.USER)
    turn.fail(node_id, error)


def _error(turn: Turn, state: NodeState) -> ExecutionError:
    """The error of an array of which too many elements failed: code and kind of the first, the messages of all."""
    groups: dict[str, list[int]] = {}
    first: ExecutionError | None = None
    for element in _elements(turn, state):
        if element.phase in (NodePhase.FAILED, NodePhase.TIMED_OUT):
            error = failure.error_of(element)
            first = first or error
            assert element.element is not None
            groups.setdefault(error.message, []).append(element.element)
    assert first is not None
    return ExecutionError(code=first.code, kind=first.kind, message=grouped(groups.items()))


def grouped(messages: Iterable[tuple[str, list[int]]]) -> str:
    """Messages with the indexes they hold for, `[0-2][5]: message`, a line each; at most MESSAGE_LIMIT bytes."""
    lines: list[str] = []
    left = MESSAGE_LIMIT - len(_MORE)
    for message, indexes in messages:
        line = f"{_ranges(indexes)}: {message}\n"
        size = len(line.encode())
        if size > left:
            lines.append(line.encode()[:left].decode(errors="ignore") if not lines else "")
            lines.append(_MORE)
            break
        lines.append(line)
        left -= size
    return "".join(lines).removesuffix("\n")


def _ranges(indexes: list[int]) -> str:
    """Ascending indexes in brackets, neighbours together: `[0-2][5]`."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return "".join(f"[{first}]" if first == last else f"[{first}-{last}]" for first, last in runs)
