"""Attempts of task nodes: scheduling them, and what the launcher's observations of them mean.

Two attempts of one node never run at once: a next one is scheduled only after the final observation of the one before.
"""

from typing import Final

from flyteidl.core.execution_pb2 import TaskExecution
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved
from flightlog_types.addresses import addresses, elsewhere
from services.execution.engine import caching, dynamics, failure, names, recovery, retries, timeouts
from services.execution.engine.commands import AttemptResult
from services.execution.engine.outcomes import Asking, Failure, Success, deck_of, outcome
from services.execution.engine.program import Node, Task
from services.execution.engine.state import AttemptPhase, AttemptState, NodePhase, NodeState, shown
from services.execution.engine.turn import Turn

_INDEX_VARIABLE: Final = "FLYTE_K8S_ARRAY_INDEX"
_FINAL: Final = frozenset(
    {
        AttemptObserved.EXITED,
        AttemptObserved.FAILED,
        AttemptObserved.NOT_LAUNCHED,
        AttemptObserved.KILLED,
        AttemptObserved.LOST,
    }
)
_PHASES: Final = {
    AttemptObserved.WAITING_FOR_RESOURCES: TaskExecution.WAITING_FOR_RESOURCES,
    AttemptObserved.QUEUED: TaskExecution.QUEUED,
    AttemptObserved.INITIALIZING: TaskExecution.INITIALIZING,
    AttemptObserved.RUNNING: TaskExecution.RUNNING,
}


def schedule(turn: Turn, node_id: str) -> None:
    """Schedules the node's next attempt, to be acted on by a launcher, and arms its deadlines."""
    state = turn.state.nodes[node_id]
    node = turn.node(state)
    assert node.task is not None
    fact = facts.AttemptScheduled()
    fact.CopyFrom(turn.attempt_template)
    # The launcher finds the task's template there; a dynamic node's tasks are in a closure of their own.
    fact.closure.CopyFrom(turn.frame(state.parent_id).closure)
    _name(turn, fact, node.task, state)
    _override(fact, node)
    if state.element is not None:
        _point_at(turn, fact, state, state.element)
    if not fact.previous_checkpoint_prefix:
        fact.previous_checkpoint_prefix = recovery.checkpoint_of(turn, state)
    if node.task.generates_deck:
        fact.deck_uri = deck_of(fact.results_prefix or fact.output_prefix)
    fact.interruptible = retries.interruptible(turn, node, state)
    if state.inputs is not None:
        fact.inputs.CopyFrom(state.inputs)
    turn.emit(fact)
    if state.phase == NodePhase.QUEUED:
        turn.emit(facts.NodeStarted(node_id=node_id, occurred_at=turn.now))
    timeouts.begin(turn, node, state)
    timeouts.begin_queueing(turn, state)


def in_engine(turn: Turn, task: Task, node_id: str) -> facts.AttemptScheduled:
    """The attempt of a node that the engine runs itself; the caller emits it, and its end at once after it."""
    fact = facts.AttemptScheduled(in_engine=True, occurred_at=turn.now)
    _name(turn, fact, task, turn.state.nodes[node_id])
    return fact


def _name(turn: Turn, fact: facts.AttemptScheduled, task: Task, state: NodeState) -> None:
    created = turn.state.created
    attempt = state.attempt_number
    name = names.generated_name(created.id.name, state.node_id, attempt)
    raw_prefix = f"{created.config.raw_output_prefix.rstrip('/')}/{names.shard(name)}/{name}"
    fact.node_id = state.node_id
    if state.spec_node_id != state.node_id:
        fact.spec_node_id = state.spec_node_id
    fact.attempt = attempt
    fact.task_id.CopyFrom(task.id)
    fact.task_type = task.type
    fact.generated_name = name
    fact.output_prefix = f"{state.data_prefix}/{attempt}"
    fact.raw_output_prefix = raw_prefix
    fact.checkpoint_prefix = f"{raw_prefix}/_flytecheckpoints"
    fact.previous_checkpoint_prefix = state.previous_checkpoint


def _override(fact: facts.AttemptScheduled, node: Node) -> None:
    overrides = node.overrides
    if overrides is None:
        return
    if overrides.HasField("resources"):
        fact.resources.CopyFrom(overrides.resources)
    if overrides.HasField("extended_resources"):
        fact.extended_resources.CopyFrom(overrides.extended_resources)
    if overrides.HasField("pod_template"):
        fact.pod_template.CopyFrom(overrides.pod_template)
    fact.container_image = overrides.container_image


def _point_at(turn: Turn, fact: facts.AttemptScheduled, state: NodeState, index: int) -> None:
    """Tells an array's element which one it is, as flytekit reads it (engine-semantics §5.5)."""
    fact.envs["BATCH_JOB_ARRAY_INDEX_VAR_NAME"] = _INDEX_VARIABLE
    fact.envs["BATCH_JOB_ARRAY_INDEX_OFFSET"] = "0"
    fact.envs[_INDEX_VARIABLE] = str(index)
    array = turn.node(turn.state.nodes[state.parent_id]).array
    if array is not None and array.is_task:
        # flytekit's legacy maps append their index to the prefix they are given.
        fact.output_prefix = f"{turn.frame(state.parent_id).root}/attempt-{fact.attempt}"
        fact.results_prefix = f"{fact.output_prefix}/{index}"


def observe(turn: Turn, observation: AttemptObserved, result: AttemptResult | None) -> None:
    """Takes in an observation; what is late, repeated or about an attempt that is over changes nothing.

    Versions say what is late, not phases: what runs may be suspended and wait once more.
    """
    state = turn.state.nodes.get(observation.node_id)
    if state is None:
        return
    attempt = state.live_attempt
    if attempt is None or attempt.number != observation.attempt:
        return
    final = observation.stage in _FINAL
    if attempt.phase == AttemptPhase.ABORTING:
        if final:
            _aborted(turn, state, attempt, observation)
    elif final:
        _ended(turn, state, attempt, observation, result)
    else:
        _progressed(turn, attempt, observation)


def _progressed(turn: Turn, attempt: AttemptState, observation: AttemptObserved) -> None:
    phase = _PHASES.get(observation.stage)
    if phase is None or observation.version <= attempt.version:
        return
    if (phase, observation.reason, shown(observation)) == (attempt.reported, attempt.reason, attempt.shown):
        return
    turn.emit(
        facts.AttemptProgressed(
            node_id=observation.node_id,
            attempt=attempt.number,
            phase=phase,
            phase_version=observation.version,
            reason=observation.reason,
            logs=observation.logs,
            custom_info=_custom_info(observation),
            plugin=observation.plugin,
            occurred_at=_moment(turn, observation),
        )
    )


def _ended(
    turn: Turn, state: NodeState, attempt: AttemptState, observation: AttemptObserved, result: AttemptResult | None
) -> None:
    task = turn.node(state).task
    assert task is not None
    usage = observation.usage if observation.HasField("usage") else None
    ending = outcome(task, observation, result, attempt.output_prefix)
    if isinstance(ending, Failure):
        turn.emit(
            facts.AttemptFailed(
                node_id=state.node_id,
                attempt=attempt.number,
                error=ending.error,
                recoverable=ending.recoverable,
                usage=usage,
                logs=observation.logs,
                custom_info=_custom_info(observation),
                plugin=observation.plugin,
                occurred_at=_moment(turn, observation),
            )
        )
        retries.after_failure(
            turn, state.node_id, ending.error, recoverable=ending.recoverable, deck_uri=ending.deck_uri
        )
    else:
        turn.emit(
            facts.AttemptSucceeded(
                node_id=state.node_id,
                attempt=attempt.number,
                outputs=ending.outputs,
                usage=usage,
                logs=observation.logs,
                custom_info=_custom_info(observation),
                plugin=observation.plugin,
                occurred_at=_moment(turn, observation),
                addresses=_elsewhere(attempt, ending),
            )
        )
        if isinstance(ending, Asking):
            dynamics.plan(turn, state.node_id, ending.futures, ending.deck_uri)
        else:
            _node_succeeded(turn, state.node_id, ending)


def _elsewhere(attempt: AttemptState, ending: Success | Asking) -> list[str]:
    """Where outputs lie that the attempt did not put where its own are found by."""
    if isinstance(ending, Asking) or ending.literals is None:
        return []
    return elsewhere(addresses(ending.literals), attempt.raw_output_prefix)


def _node_succeeded(turn: Turn, node_id: str, ending: Success) -> None:
    if ending.literals is not None:
        turn.keep(ending.outputs.uri, ending.literals)
    caching.succeed(turn, node_id, ending.outputs, ending.deck_uri)


def _aborted(turn: Turn, state: NodeState, attempt: AttemptState, observation: AttemptObserved) -> None:
    turn.emit(
        facts.AttemptAborted(
            node_id=state.node_id,
            attempt=attempt.number,
            reason=attempt.abort_reason,
            usage=observation.usage if observation.HasField("usage") else None,
            logs=observation.logs,
            occurred_at=_moment(turn, observation),
        )
    )
    failure.attempt_gone(turn, state.node_id)


def _custom_info(observation: AttemptObserved) -> Struct | None:
    return observation.custom_info if observation.HasField("custom_info") else None


def _moment(turn: Turn, observation: AttemptObserved) -> Timestamp:
    return observation.occurred_at if observation.HasField("occurred_at") else turn.now
