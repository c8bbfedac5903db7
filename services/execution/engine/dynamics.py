"""Dynamic nodes: a task asked for more nodes, and these become the node's children (engine-semantics §5.1).

The task's attempt is over then, and has succeeded; the node's own end is that of the workflow its children make. What
the task wrote is compiled here, by a pure function: deciding again gives the same plan, byte for byte.
"""

from typing import Final

from flyteidl.core.dynamic_job_pb2 import DynamicJobSpec
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_compiler import CompileErrors, compile_dynamic, dynamic_workflow_id
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types.addresses import elsewhere
from services.execution.engine import retries, subworkflows
from services.execution.engine.commands import Futures
from services.execution.engine.outcomes import bounded
from services.execution.engine.program import Program, ProgramError
from services.execution.engine.turn import Turn

BUILD_FAILED: Final = "DynamicWorkflowBuildFailed"


def plan(turn: Turn, node_id: str, futures: Futures, deck_uri: str) -> None:
    """Begins what the node's attempt, which has just succeeded, asked for; fails the node when it cannot be run.

    `deck_uri` names the deck that the task left, if it did.
    """
    if turn.state.nodes[node_id].element is not None:
        _fail(turn, node_id, "an element of a map cannot ask for nodes", ExecutionError.USER)
    elif futures.spec is not None:
        _begin(turn, node_id, futures, futures.spec, deck_uri)
    elif futures.too_large:
        message = f"the nodes asked for at [{futures.ref.uri}] are more than what is read of them"
        _fail(turn, node_id, message, ExecutionError.USER)
    else:
        message = f"what the task wrote to [{futures.ref.uri}] cannot be read"
        _fail(turn, node_id, message, ExecutionError.SYSTEM)


def _begin(turn: Turn, node_id: str, futures: Futures, spec: DynamicJobSpec, deck_uri: str) -> None:
    state = turn.state.nodes[node_id]
    task, attempt = turn.node(state).task, state.attempt
    assert task is not None
    assert attempt is not None
    workflow_id = dynamic_workflow_id(turn.state.created.id, node_id, state.spec_node_id, attempt.number)
    try:
        closure = compile_dynamic(spec, task.template, workflow_id, futures.tasks, futures.launch_plans)
        program = Program.parse(closure)
    except (CompileErrors, ProgramError) as error:
        _fail(turn, node_id, f"malformed dynamic workflow, caused by: {error}", ExecutionError.USER)
        return
    turn.emit(
        facts.DynamicPlanned(
            node_id=node_id,
            attempt=attempt.number,
            closure=turn.write_program(f"{attempt.output_prefix}/dynamic_compiled.pb", closure, program),
            job_spec=futures.ref,
            workflow_id=workflow_id,
            deck_uri=deck_uri,
            occurred_at=turn.now,
            addresses=elsewhere(program.addresses, attempt.raw_output_prefix),
        )
    )
    subworkflows.begin(turn, turn.frame(node_id), LiteralMap())


def _fail(turn: Turn, node_id: str, message: str, kind: ExecutionError.ErrorKind) -> None:
    """Only a task that runs again may write something better than what was damaged on its way."""
    error = bounded(ExecutionError(code=BUILD_FAILED, message=message, kind=kind))
    retries.after_failure(turn, node_id, error, recoverable=kind == ExecutionError.SYSTEM)
