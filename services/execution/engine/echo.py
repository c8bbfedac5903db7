"""Tasks of type `echo`: the engine runs them itself, in the decision that starts them. Inputs become outputs."""

import re
from typing import Final

from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution.engine import attempts, caching, retries
from services.execution.engine.program import Node
from services.execution.engine.turn import Turn

TASK_TYPE: Final = "echo"
_DIGITS: Final = re.compile(r"(\d+)")


def runs(node: Node) -> bool:
    """Whether the engine runs this node itself."""
    return node.task is not None and node.task.type == TASK_TYPE


def run(turn: Turn, node: Node, node_id: str, inputs: LiteralMap) -> None:
    """Runs a queued echo node to its end. It needs no place among the running tasks.

    What the elements of an array give is gathered in the same decision, and not written one by one, unless it is to be
    cached.
    """
    task = node.task
    assert task is not None
    scheduled = attempts.in_engine(turn, task, node_id)
    turn.emit(scheduled)
    pairs = _pairs(task.template.interface)
    if pairs is None:
        error = ExecutionError(
            code="BadTaskSpecification",
            message=f"echo task [{task.id.name}] needs one output for every input, of the same type",
            kind=ExecutionError.SYSTEM,
        )
        turn.emit(facts.AttemptFailed(node_id=node_id, attempt=scheduled.attempt, error=error, occurred_at=turn.now))
        retries.after_failure(turn, node_id, error, recoverable=False)
        return
    outputs = LiteralMap()
    for name, output in pairs:
        if name in inputs.literals:
            outputs.literals[output].CopyFrom(inputs.literals[name])
    uri, ref = f"{scheduled.output_prefix}/outputs.pb", None
    if turn.state.nodes[node_id].element is None or node.cache is not None:
        ref = turn.write(uri, outputs)
    else:
        turn.hold(uri, outputs)
    turn.emit(facts.AttemptSucceeded(node_id=node_id, attempt=scheduled.attempt, outputs=ref, occurred_at=turn.now))
    caching.succeed(turn, node_id, ref)


def _pairs(interface: TypedInterface) -> list[tuple[str, str]] | None:
    """Which input becomes which output: in the order of their names, outputs by their numbers, types matching."""
    inputs, outputs = interface.inputs.variables, interface.outputs.variables
    if len(inputs) != len(outputs):
        return None
    free = sorted(outputs, key=_by_number)
    pairs: list[tuple[str, str]] = []
    for name in sorted(inputs):
        fitting = next((output for output in free if outputs[output].type == inputs[name].type), None)
        if fitting is None:
            return None
        free.remove(fitting)
        pairs.append((name, fitting))
    return pairs


def _by_number(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in _DIGITS.split(name)]
