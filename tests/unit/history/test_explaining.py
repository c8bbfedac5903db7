"""What is behind an execution's phase, put together from what tables and log know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyteidl.admin.execution_pb2 import Execution, ExecutionClosure
from flyteidl.admin.node_execution_pb2 import NodeExecution
from flyteidl.admin.task_execution_pb2 import TaskExecution
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.execution_pb2 import NodeExecution as NodePhases
from flyteidl.core.execution_pb2 import TaskExecution as TaskPhases
from flyteidl.core.identifier_pb2 import WorkflowExecutionIdentifier
from google.protobuf.message import Message

from flightlog_log import Head, Recorded
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.execution.v1.queue_service_pb2 import Wait
from flightlog_protos.history.v1.explanation_pb2 import Explanation
from flightlog_protos.launcher.v1.observations_pb2 import AttemptObserved, Exit
from flightlog_protos.log.v1.envelope_pb2 import Actor, Envelope
from services.execution.history.causes import Causes
from services.execution.history.explaining import MOST_EXECUTIONS, Explanations
from services.execution.subjects import ExecutionKey

KEY = ("p", "d", "run")
NAMED = WorkflowExecutionIdentifier(project="p", domain="d", name="run")
BOOM = ExecutionError(code="Boom", message="no way", kind=ExecutionError.USER)
SERVICE = Actor(subject="execution", method="service")


@dataclass
class Told:
    """What is known of one execution; of others nothing."""

    found: Execution
    in_line: str = ""
    nodes: Mapping[str, Sequence[NodeExecution]] = field(default_factory=dict[str, Sequence[NodeExecution]])
    tasks: Sequence[TaskExecution] = ()
    waiting: Sequence[Wait] = ()
    because: Causes = field(default_factory=Causes)

    async def execution(self, key: ExecutionKey) -> Execution | None:
        return self.found if key == KEY else None

    async def place(self, key: ExecutionKey) -> str:
        return self.in_line

    async def failed_nodes(self, key: ExecutionKey, parent: str) -> list[NodeExecution]:
        return list(self.nodes.get(parent, ()))

    async def attempts(self, key: ExecutionKey, node_id: str) -> list[TaskExecution]:
        return list(self.tasks)

    async def waits(self, key: ExecutionKey) -> list[Wait]:
        return list(self.waiting)

    async def causes(self, key: ExecutionKey) -> Causes:
        return self.because


async def why(told: Told) -> Explanation:
    found = await Explanations(told).of(KEY)
    assert found is not None
    return found


def running() -> Execution:
    closure = ExecutionClosure(phase=WorkflowExecution.RUNNING)
    closure.started_at.GetCurrentTime()
    return Execution(id=NAMED, closure=closure)


def failed() -> Execution:
    return Execution(id=NAMED, closure=ExecutionClosure(phase=WorkflowExecution.FAILED, error=BOOM))


def failed_node(node_id: str = "n0") -> NodeExecution:
    node = NodeExecution()
    node.id.node_id = node_id
    node.closure.phase = NodePhases.FAILED
    node.closure.error.CopyFrom(BOOM)
    return node


def attempt(number: int, phase: TaskPhases.Phase, *reasons: str, node_id: str = "n0") -> TaskExecution:
    task = TaskExecution()
    task.id.node_execution_id.node_id = node_id
    task.id.retry_attempt = number
    task.closure.phase = phase
    for reason in reasons:
        task.closure.reasons.add(message=reason).occurred_at.GetCurrentTime()
    return task


def record(event_id: str, *recorded: Message, because: str = "", actor: Actor = SERVICE) -> Recorded:
    envelope = Envelope(event_id=event_id, causation_id=because, actor=actor)
    return Recorded("execution.0.p.d.run", 1, envelope, recorded, Head.EMPTY)


async def test_unknown_execution_has_no_explanation() -> None:
    assert await Explanations(Told(running())).of(("p", "d", "other")) is None


async def test_child_that_is_not_made_yet() -> None:
    finding = await why(Told(running(), waiting=[Wait(node_id="n0", kind=Wait.CHILD_EXECUTION, name="child")]))
    (node,) = finding.behind
    assert node.why == "waits for the execution child"
    (child,) = node.behind
    assert (child.what, child.name, child.why) == ("execution", "p/d/child", "there is none of this name yet")


async def test_failed_node_whose_child_is_gone() -> None:
    node = failed_node()
    child_id = WorkflowExecutionIdentifier(project="p", domain="d", name="child")
    node.closure.workflow_node_metadata.executionId.CopyFrom(child_id)
    finding = await why(Told(failed(), nodes={"": [node]}))
    (told,) = finding.behind
    assert [(child.name, child.why) for child in told.behind] == [("p/d/child", "there is none of this name yet")]


async def test_many_nodes_that_wait() -> None:
    waits = [
        Wait(node_id=f"n{number}", kind=Wait.ATTEMPT, phase=TaskPhases.QUEUED, reason=f"{number} " + "x" * 1000)
        for number in range(8000)
    ]
    finding = await why(Told(running(), waiting=waits))
    assert len(finding.behind) == 21
    assert finding.behind[-1].why == "and 7980 more nodes that wait"


async def test_elements_whose_children_are_many() -> None:
    waits = [
        Wait(node_id=f"n0-0-{n}", parent_node_id="n0", element=n, kind=Wait.CHILD_EXECUTION, name=f"child{n}")
        for n in range(30)
    ]
    finding = await why(Told(running(), waiting=waits))
    (elements,) = finding.behind
    assert elements.name == "0-29 of node n0"
    assert elements.why == "wait for executions of their own"
    assert len(elements.behind) == 21
    assert elements.behind[-1].why == "and 10 more executions"


class Endless(Told):
    """Every execution waits for twenty others."""

    looked_into = 0

    async def execution(self, key: ExecutionKey) -> Execution | None:
        return self.found

    async def waits(self, key: ExecutionKey) -> list[Wait]:
        self.looked_into += 1
        return [Wait(node_id=f"n{n}", kind=Wait.CHILD_EXECUTION, name=f"{key[2]}-{n}") for n in range(20)]


async def test_only_so_many_executions_are_looked_into() -> None:
    endless = Endless(running())
    finding = await why(endless)
    assert endless.looked_into == MOST_EXECUTIONS
    named = finding.behind[-1].behind[0]
    assert (named.name, named.phase, len(named.behind)) == ("p/d/run-19", "RUNNING", 0)


async def test_last_attempt_of_many() -> None:
    tasks = [attempt(number, TaskPhases.RUNNING if number == 149 else TaskPhases.FAILED) for number in range(150)]
    waiting = [Wait(node_id="n0", kind=Wait.ATTEMPT, attempt=149)]
    finding = await why(Told(running(), tasks=tasks, waiting=waiting))
    (node,) = finding.behind
    assert (node.behind[-1].name, node.behind[-1].phase) == ("149", "RUNNING")


async def test_the_chain_of_a_failure_ends_at_what_kubernetes_said() -> None:
    unplaced, killed = "Unschedulable:0/3 nodes", "OOMKilled: the container used more than 200Mi"
    seen = [
        record("see-1", AttemptObserved(node_id="n0", stage=AttemptObserved.QUEUED, reason=unplaced)),
        record(
            "see-2",
            AttemptObserved(
                node_id="n0",
                stage=AttemptObserved.EXITED,
                reason=killed,
                exit=Exit(code=137, signal=9, out_of_memory=True),
            ),
            because="order",
        ),
    ]
    own = [
        record("order", facts.AttemptScheduled(node_id="n0")),
        record(
            "end",
            facts.AttemptFailed(node_id="n0", error=BOOM),
            facts.NodeFailed(node_id="n0", error=BOOM),
            facts.ExecutionFailed(error=BOOM),
            because="see-2",
        ),
    ]
    told = Told(
        failed(),
        nodes={"": [failed_node()]},
        tasks=[attempt(0, TaskPhases.FAILED, "task submitted to the launcher", unplaced)],
        because=Causes.of(own, seen),
    )
    finding = await why(told)
    (node,) = finding.behind
    (tried,) = node.behind
    assert [finding.event_id, node.event_id, tried.event_id] == ["end", "end", "end"]
    submitted, waited, cause = tried.behind
    assert (submitted.what, submitted.event_id) == ("reason", "")
    assert (waited.what, waited.why, waited.event_id) == ("reason", unplaced, "see-1")
    assert (cause.what, cause.name, cause.event_id) == ("cause", "EXITED", "see-2")
    assert cause.why == f"exit code 137, signal 9, out of memory; {killed}"


async def test_the_chain_of_an_abort_ends_at_who_asked() -> None:
    human = Actor(subject="ada", client="pyflyte/1.16", method="none")
    own = [
        record(
            "ask",
            facts.AbortRequested(cause="enough", principal="ada"),
            facts.AttemptAborting(node_id="n0", reason="Workflow aborted."),
            actor=human,
        ),
        record("gone", facts.AttemptAborted(node_id="n0"), facts.ExecutionAborted(), because="see"),
    ]
    seen = [record("see", AttemptObserved(node_id="n0", stage=AttemptObserved.KILLED), because="ask")]
    causes = Causes.of(own, seen)
    execution = failed()
    execution.closure.phase = WorkflowExecution.ABORTED
    execution.closure.abort_metadata.cause = "enough"
    finding = await why(Told(execution, because=causes))
    (cause,) = finding.behind
    assert (finding.event_id, cause.event_id) == ("gone", "ask")
    assert cause.why == "asked for by ada, pyflyte/1.16: enough"
    assert [(one.name, one.why, one.event_id) for one in causes.of_attempt("n0", 0)] == [
        ("KILLED", "", "see"),
        ("AttemptAborting", "Workflow aborted.", "ask"),
        ("request", "asked for by ada, pyflyte/1.16", "ask"),
    ]


def test_the_chain_of_a_deadline_ends_at_its_alarm() -> None:
    timer = facts.TimerSet(timer_id="t", kind=facts.ATTEMPT_DEADLINE, node_id="n0")
    own = [
        record("order", facts.AttemptScheduled(node_id="n0"), timer),
        record("late", facts.AttemptAborting(node_id="n0", reason="timed out", timed_out=True), because="order"),
        record("gone", facts.AttemptAborted(node_id="n0"), because="see"),
    ]
    seen = [record("see", AttemptObserved(node_id="n0", stage=AttemptObserved.KILLED), because="late")]
    told = list(Causes.of(own, seen).of_attempt("n0", 0))
    assert [(one.name, one.event_id) for one in told] == [
        ("KILLED", "see"),
        ("AttemptAborting", "late"),
        ("TimerSet", "order"),
    ]
    assert told[-1].why.startswith("ATTEMPT_DEADLINE of node n0, due ")


def test_what_was_stopped_for_another_nodes_failure_names_that() -> None:
    own = [
        record(
            "end",
            facts.AttemptFailed(node_id="a", error=BOOM),
            facts.NodeFailed(node_id="a", error=BOOM),
            facts.AttemptAborting(node_id="b", reason="node a failed"),
            because="see",
        )
    ]
    seen = [record("see", AttemptObserved(node_id="a", stage=AttemptObserved.LOST, reason="pod was evicted"))]
    told = list(Causes.of(own, seen).of_attempt("b", 0))
    assert [(one.name, one.why, one.event_id) for one in told] == [
        ("AttemptAborting", "node a failed", "end"),
        ("NodeFailed", "node a", "end"),
        ("LOST", "pod was evicted", "see"),
    ]


async def test_elements_that_failed_alike_have_one_cause() -> None:
    own = [
        record(f"queue-{n}", facts.NodeQueued(node_id=f"n0-n{n}", parent_node_id="n0", element=n)) for n in range(30)
    ]
    own += [
        record(
            f"end-{n}", facts.AttemptFailed(node_id=f"n0-n{n}"), facts.NodeFailed(node_id=f"n0-n{n}"), because=f"{n}"
        )
        for n in range(30)
    ]
    seen = [
        record(
            f"{n}", AttemptObserved(node_id=f"n0-n{n}", stage=AttemptObserved.LOST, reason="evicted" if n else "gone")
        )
        for n in range(30)
    ]
    array = attempt(0, TaskPhases.FAILED)
    for n in range(30):
        array.closure.metadata.external_resources.add(index=n, phase=TaskPhases.FAILED)
    told = Told(failed(), nodes={"": [failed_node()]}, tasks=[array], because=Causes.of(own, seen))
    finding = await why(told)
    (elements,) = finding.behind[0].behind[0].behind
    assert elements.name == "0-29"
    assert [(one.why, one.event_id) for one in elements.behind] == [("gone", "0"), ("evicted", "1")]
