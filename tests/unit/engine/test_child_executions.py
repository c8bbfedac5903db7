"""Launch-plan nodes: what is asked of the service, and what the child's end means for the node."""

import pytest
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import NodeExecutionIdentifier, WorkflowExecutionIdentifier

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from services.execution.engine import names
from tests.unit.engine.story import INPUT, NAME, WORKFLOW_DIR, Flow, From, Story

CHILD = "fnljnygmunr6jo"


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 10}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def launching(**metadata: object) -> Flow:
    return Flow().launches("n0", {"a": INPUT}, **metadata).returns(o0=From("n0"))  # type: ignore[arg-type]


def test_a_child_execution_is_asked_for() -> None:
    story = Story(launching(), {"x": 10})
    assert story.start()[3:] == ["NodeQueued n0", "NodeStarted n0", "ChildExecutionRequested n0#0"]
    asked = story.last(facts.ChildExecutionRequested)
    assert asked.execution_id == WorkflowExecutionIdentifier(project="p", domain="d", name=CHILD)
    assert asked.launch_plan.name == "echo"
    assert story.data(asked.inputs) == {"a": 10}
    assert asked.output_prefix == f"{WORKFLOW_DIR}/n0/data/0"


def test_the_nodes_outputs_are_the_childs() -> None:
    story = started(launching())
    assert story.child_succeeds("n0", outputs={"o0": 41})[:2] == ["ChildExecutionEnded n0#0", "NodeSucceeded n0"]
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert story.outputs() == {"o0": 41}
    assert story.child_succeeds("n0", outputs={"o0": 41}) == []


def test_a_child_without_outputs_lets_the_next_nodes_run() -> None:
    story = started(Flow().launches("n0").task("n1", after=["n0"]))
    story.child_succeeds("n0", outputs={})
    assert story.phases()["n1"] == "RUNNING"


def test_a_failed_child_fails_its_node_with_its_own_error() -> None:
    story = started(launching(node_retries=3))
    story.child_fails("n0", code="USER:Mine", message="what it said")
    assert story.phases()["n0"] == "FAILED"
    assert story.error() == ExecutionError(code="USER:Mine", message="what it said", kind=ExecutionError.USER)
    assert story.child_fails("n0") == []


def test_a_child_that_somebody_aborts_fails_its_node() -> None:
    story = started(launching())
    assert story.child_aborted("n0")[:2] == [
        "ChildExecutionEnded n0#0",
        "NodeFailed n0 RemoteChildWorkflowExecutionFailed",
    ]
    assert story.error().kind == ExecutionError.USER
    assert story.error().message == f"launchplan [{CHILD}] aborted"


def test_a_terminated_parent_waits_for_its_child() -> None:
    story = started(launching())
    assert story.terminate() == ["AbortRequested", "ChildExecutionAborting n0#0"]
    aborting = story.last(facts.ChildExecutionAborting)
    assert (aborting.execution_id.name, aborting.reason) == (CHILD, "Workflow aborted.")
    assert story.phase == "ABORTING"
    story.child_aborted("n0")
    assert story.phases()["n0"] == "ABORTED"
    assert story.phase == "ABORTED"


@pytest.mark.parametrize("end", ["child_succeeds", "child_fails"])
def test_an_aborted_node_is_aborted_however_its_child_ended(end: str) -> None:
    story = started(launching())
    story.terminate()
    getattr(story, end)("n0")
    assert (story.phases()["n0"], story.phase) == ("ABORTED", "ABORTED")


def test_a_parent_that_is_forced_to_end_does_not_wait() -> None:
    story = started(launching())
    story.terminate(force=True)
    assert story.phase == "ABORTED"
    assert story.last(facts.ChildExecutionEnded).phase == WorkflowExecution.ABORTING
    assert story.child_aborted("n0") == []


def test_a_failure_beside_it_aborts_the_child() -> None:
    story = started(Flow().launches("n0").task("n1"))
    story.fails("n1")
    assert story.last(facts.ChildExecutionAborting).reason == "Some node execution failed, auto-abort."
    assert story.phase == "FAILING"
    story.child_aborted("n0")
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "ABORTED", "n1": "FAILED"}


def test_a_failure_beside_it_lets_the_child_end_under_fail_after() -> None:
    story = started(Flow().launches("n0").task("n1").task("n2", after=["n0"]).fails_after())
    story.fails("n1")
    assert not story.has(facts.ChildExecutionAborting)
    story.child_succeeds("n0")
    story.succeeds("n2")
    assert story.phase == "FAILED"


def test_a_failed_child_under_fail_after() -> None:
    story = started(Flow().launches("n0").task("n1").task("n2", after=["n0"]).fails_after())
    story.child_fails("n0")
    story.succeeds("n1")
    assert story.phases()["n2"] == "SKIPPED"
    assert story.error().code == "USER:Boom"


def test_children_take_places() -> None:
    story = started(Flow().launches("n0").launches("n1").task("n2"), parallelism=1)
    assert (story.phases()["n0"], story.phases()["n1"], story.phases()["n2"]) == ("RUNNING", "QUEUED", "QUEUED")
    assert "ChildExecutionRequested n1#0" in story.child_succeeds("n0")
    assert story.phases()["n2"] == "QUEUED"


# ---------------------------------------------------------------------------------------------------- deadlines


def test_a_child_that_takes_too_long_is_aborted_and_another_one_asked_for() -> None:
    story = started(launching(timeout=60, node_retries=1))
    assert story.fire("n0/0/attempt") == ["ChildExecutionAborting n0#0"]
    assert story.last(facts.ChildExecutionAborting).timed_out
    again = story.child_aborted("n0")
    assert again == [
        "ChildExecutionEnded n0#0",
        "RetryScheduled n0#1",
        "TimerSet n0/1/attempt",
        "ChildExecutionRequested n0#1",
    ]
    second = story.last(facts.ChildExecutionRequested)
    assert second.execution_id.name == names.child_execution_name(NAME, "n0", 1) != CHILD
    assert second.output_prefix == f"{WORKFLOW_DIR}/n0/data/1"
    assert story.child_succeeds("n0", 0) == []
    story.child_succeeds("n0", 1, {"o0": 5})
    assert story.outputs() == {"o0": 5}


def test_a_child_that_takes_too_long_fails_the_node_when_no_attempt_is_left() -> None:
    story = started(launching(timeout=60))
    story.fire("n0/0/attempt")
    story.child_aborted("n0")
    assert story.error().code == "RetriesExhausted|TimeoutExpired"


def test_a_node_that_takes_too_long_as_a_whole_times_out() -> None:
    story = started(launching(timeout=60, node_retries=9))
    assert story.fire("n0/0/node") == ["NodeFailing n0", "ChildExecutionAborting n0#0"]
    story.child_aborted("n0")
    assert story.phases()["n0"] == "TIMED_OUT"


# ---------------------------------------------------------------------------------------------------- inside others


def test_a_child_within_a_sub_workflow_has_the_id_of_the_inner_node() -> None:
    inner = Flow("inner").launches("n0", {"a": INPUT}).returns(o0=From("n0"))
    story = started(Flow().sub("n0", inner, {"x": INPUT}).returns(o0=From("n0")))
    asked = story.last(facts.ChildExecutionRequested)
    assert asked.node_id == "n0-0-n0"
    assert asked.execution_id.name == names.child_execution_name(NAME, "n0-0-n0", 0)
    story.child_fails("n0-0-n0", code="USER:Mine")
    assert story.error().code == "USER:Mine"


def test_elements_of_an_array_are_children() -> None:
    flow = Flow().map("n0", {"a": [1, 2]}, launch_plan="echo", array={"parallelism": 1}).returns(o0=From("n0"))
    story = started(flow)
    first = story.last(facts.ChildExecutionRequested)
    assert (first.node_id, story.data(first.inputs)) == ("n0-0-n0", {"a": 1})
    story.child_succeeds("n0-0-n0", outputs={"o0": 7})
    assert story.data(story.last(facts.ChildExecutionRequested).inputs) == {"a": 2}
    story.child_succeeds("n0-0-n1", outputs={"o0": 8})
    assert story.outputs() == {"o0": [7, 8]}


# ---------------------------------------------------------------------------------------------------- as a child


def parent() -> facts.ParentAttempt:
    node = NodeExecutionIdentifier(
        node_id="n3", execution_id=WorkflowExecutionIdentifier(project="p", domain="d", name="above")
    )
    return facts.ParentAttempt(node=node, attempt=2)


@pytest.mark.parametrize("end", ["succeeds", "fails", "terminate"])
def test_a_child_says_in_its_last_fact_who_waits_for_it(end: str) -> None:
    story = started(Flow().task("n0"), change=lambda created: created.parent.CopyFrom(parent()))
    if end == "terminate":
        story.terminate()
        story.sees("n0", "KILLED")
    else:
        getattr(story, end)("n0")
    last = story.history[-1]
    assert isinstance(last, facts.ExecutionSucceeded | facts.ExecutionFailed | facts.ExecutionAborted)
    assert last.parent == parent()


def test_an_execution_of_its_own_has_no_parent() -> None:
    story = started(Flow().task("n0"))
    story.succeeds("n0")
    assert not story.last(facts.ExecutionSucceeded).HasField("parent")


def test_an_end_of_what_is_no_child_changes_nothing() -> None:
    story = started(Flow().task("n0"))
    assert story.child_aborted("n0") == []
    assert story.child_aborted("n9") == []
    assert story.does(engine.ObserveChild("start-node", 0, WorkflowExecution.ABORTED)) == []


def test_a_child_whose_outputs_are_lost_ends_the_parent() -> None:
    story = started(launching())
    uri = f"s3://bucket/metadata/propeller/p-d-{CHILD}/end-node/data/0/outputs.pb"
    story.lost[uri] = "it does not exist"
    story.child_succeeds("n0")
    assert story.error().code == "BindingResolutionFailure"
    assert story.phase == "FAILED"
