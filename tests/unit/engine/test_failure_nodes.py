"""Failure nodes: when they run, what they are told, and what becomes of the failure (engine-semantics §1.4, §5.2)."""

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError
from flyteidl.core.literals_pb2 import LiteralMap
from flyteidl.core.types_pb2 import SimpleType

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, Flow, From, Story, plain_map

TOLD = {"x": INPUT, "err": None}


def started(flow: Flow, **options: Any) -> Story:
    story = Story(flow, {"x": 1}, **options)
    story.start()
    return story


def handled(flow: Flow, **metadata: Any) -> Flow:
    return flow.task("fn0", TOLD, outputs=(), **metadata).on_failure()


def inputs_of(story: Story, node_id: str) -> LiteralMap:
    return LiteralMap.FromString(story.blobs[story.last(facts.NodeQueued, node_id=node_id).inputs.uri])


# ---------------------------------------------------------------------------------------------------- top level


def test_failure_node_runs_when_all_else_is_gone_and_keeps_the_error() -> None:
    story = started(handled(Flow().task("a").task("b")))
    assert story.fails("a")[1:] == ["NodeFailed a USER:Boom", "ExecutionFailing USER:Boom", "AttemptAborting b#0"]
    assert story.sees("b", "KILLED") == [
        "AttemptAborted b#0",
        "NodeAborted b NodeAborted",
        "NodeQueued fn0",
        "AttemptScheduled fn0#0",
        "NodeStarted fn0",
    ]
    assert story.phase == "FAILING"
    assert story.succeeds("fn0", outputs={}) == [
        "AttemptSucceeded fn0#0",
        "NodeSucceeded fn0",
        "ExecutionFailed USER:Boom",
    ]
    assert story.phases() == {"a": "FAILED", "b": "ABORTED", "fn0": "SUCCEEDED", "start-node": "SUCCEEDED"}


def test_failure_node_is_told_the_error_and_which_node_failed() -> None:
    story = started(handled(Flow().task("a")))
    story.fails("a", message="it broke")
    told = inputs_of(story, "fn0")
    assert plain_map(told)["x"] == 1
    union = told.literals["err"].scalar.union
    assert (union.type.simple, union.type.structure.tag) == (SimpleType.ERROR, "FlyteError")
    assert union.value.scalar.error.message == "it broke"
    assert union.value.scalar.error.failed_node_id == "a"
    assert story.last(facts.NodeQueued, node_id="fn0").handles_failure


def test_error_is_told_only_to_those_who_ask() -> None:
    story = started(Flow().task("a").task("fn0", {"x": INPUT}).on_failure())
    story.fails("a")
    assert plain_map(inputs_of(story, "fn0")) == {"x": 1}


def test_an_input_err_of_the_workflows_own_is_left_alone() -> None:
    flow = Flow().task("a").task("fn0", {"err": INPUT}).on_failure()
    story = started(flow)
    story.fails("a")
    assert plain_map(inputs_of(story, "fn0")) == {"err": 1}


def test_failing_failure_node_replaces_the_error() -> None:
    story = started(handled(Flow().task("a")))
    story.fails("a")
    assert story.fails("fn0", code="USER:Worse")[1:] == ["NodeFailed fn0 USER:Worse", "ExecutionFailed USER:Worse"]
    assert sum(isinstance(fact, facts.ExecutionFailing) for fact in story.history) == 1


def test_failure_node_is_retried_like_any_other() -> None:
    story = started(handled(Flow().task("a"), retries=1))
    story.fails("a")
    assert story.fails("fn0", recoverable=True)[1:] == ["RetryScheduled fn0#1", "AttemptScheduled fn0#1"]
    assert story.succeeds("fn0", 1, outputs={})[-1] == "ExecutionFailed USER:Boom"


def test_failure_node_waits_for_its_back_off() -> None:
    story = started(handled(Flow().task("a"), retries=1), settings=engine.EngineSettings())
    story.fails("a")
    story.fails("fn0", recoverable=True)
    assert story.fire("fn0/1/retry") == ["AttemptScheduled fn0#1"]


def test_failure_node_that_takes_too_long() -> None:
    story = started(handled(Flow().task("a"), timeout=8, retries=9))
    story.fails("a")
    assert story.fire("fn0/0/node") == ["NodeFailing fn0", "AttemptAborting fn0#0"]
    assert story.sees("fn0", "KILLED")[1:] == ["NodeTimedOut fn0", "ExecutionFailed TimedOut"]
    assert story.error() == ExecutionError(code="TimedOut", message="FailureNode Timed-out", kind=ExecutionError.USER)


def test_failure_node_is_not_run_on_abort() -> None:
    story = started(handled(Flow().task("a")))
    story.terminate()
    assert story.sees("a", "KILLED")[-1] == "ExecutionAborted"
    assert "fn0" not in story.phases()


def test_abort_before_the_failure_node_has_begun() -> None:
    story = started(handled(Flow().task("a").task("b")))
    story.fails("a")
    story.terminate()
    assert story.sees("b", "KILLED")[-1] == "ExecutionAborted"
    assert "fn0" not in story.phases()


def test_abort_ends_the_failure_node_too() -> None:
    story = started(handled(Flow().task("a")))
    story.fails("a")
    assert story.terminate() == ["AbortRequested", "AttemptAborting fn0#0"]
    assert story.sees("fn0", "KILLED") == ["AttemptAborted fn0#0", "NodeAborted fn0 NodeAborted", "ExecutionAborted"]


def test_failure_node_runs_after_the_independent_nodes() -> None:
    story = started(handled(Flow().fails_after().task("a").task("b")))
    story.fails("a")
    assert "fn0" not in story.phases()
    assert story.succeeds("b")[-5:] == [
        "NodeSkipped end-node",
        "ExecutionFailing USER:Boom",
        "NodeQueued fn0",
        "AttemptScheduled fn0#0",
        "NodeStarted fn0",
    ]
    assert story.succeeds("fn0", outputs={})[-1] == "ExecutionFailed USER:Boom"


def test_echo_as_failure_node() -> None:
    story = started(Flow().task("a").echo("fn0").on_failure())
    assert story.fails("a")[-2:] == ["NodeSucceeded fn0", "ExecutionFailed USER:Boom"]


def test_failure_node_that_cannot_be_bound() -> None:
    story = started(Flow().task("a").task("fn0", {"x": From("a")}).on_failure())
    assert story.fails("a")[-3:] == [
        "NodeQueued fn0",
        "NodeFailed fn0 BindingResolutionFailure",
        "ExecutionFailed BindingResolutionFailure",
    ]


def test_lost_inputs_fail_the_failure_node() -> None:
    story = started(handled(Flow().task("a")))
    story.lost[story.last(facts.NodeSucceeded, node_id="start-node").outputs.uri] = "it does not exist"
    assert story.fails("a")[-1] == "ExecutionFailed BindingResolutionFailure"


def test_lost_data_of_the_graph_are_a_failure_to_be_handled() -> None:
    story = started(handled(Flow().task("a").task("b", {"a": From("a")})))
    story.lost[f"{story.output_prefix('a')}/outputs.pb"] = "it does not exist"
    ref = story.put(f"{story.output_prefix('a')}/outputs.pb", LiteralMap())
    found = engine.AttemptResult(outputs=ref)
    told = story.does(engine.ObserveAttempt(story.observation("a", "EXITED"), found))
    assert told[0] == "ExecutionFailing BindingResolutionFailure"
    assert "fn0" in story.phases()


def test_nothing_to_handle_before_the_start() -> None:
    story = Story(handled(Flow().task("a")), {"x": 1})
    story.lost[story.state.created.inputs.uri] = "it does not exist"  # type: ignore[union-attr]
    assert story.start() == ["ExecutionFailing BindingResolutionFailure", "ExecutionFailed BindingResolutionFailure"]


def test_lost_workflow_is_not_handled() -> None:
    story = started(handled(Flow().task("a")))
    story.program = engine.Program.unrunnable("gone")
    assert story.fails("a")[-1] == "ExecutionFailed BadSpecificationError"


def test_workflow_lost_while_its_failure_is_handled() -> None:
    story = started(handled(Flow().task("a")))
    story.fails("a")
    story.program = engine.Program.unrunnable("gone")
    assert story.fails("fn0")[-3:] == [
        "AttemptAborted fn0#0",
        "NodeFailed fn0 BadSpecificationError",
        "ExecutionFailed BadSpecificationError",
    ]


def test_workflow_lost_while_a_workflow_handles_its_failure() -> None:
    cleaning = Flow("cleaning").task("c").task("d", after=["c"]).task("e")
    story = started(Flow().task("a").sub("fn0", cleaning).on_failure())
    story.fails("a")
    story.program = engine.Program.unrunnable("gone")
    assert story.succeeds("fn0-0-c")[:2] == ["NodeFailing fn0 BadSpecificationError", "AttemptAborting fn0-0-c#0"]
    assert story.sees("fn0-0-e", "KILLED")[-2:] == [
        "NodeFailed fn0 BadSpecificationError",
        "ExecutionFailed BadSpecificationError",
    ]


def test_failure_node_waits_for_a_place() -> None:
    inner = handled(Flow("inner").task("i"))
    flow = Flow().sub("s", inner, {"x": INPUT}).task("b").task("c").task("d", after=["b"])
    story = started(flow, parallelism=2)
    story.succeeds("b")
    assert story.fails("s-0-i")[2:] == [
        "NodeFailing s USER:Boom",
        "NodeQueued s-0-fn0",
        "AttemptScheduled d#0",
        "NodeStarted d",
    ]
    assert story.succeeds("c")[-2:] == ["AttemptScheduled s-0-fn0#0", "NodeStarted s-0-fn0"]


# ---------------------------------------------------------------------------------------------------- as workflows


def test_a_workflow_as_failure_node_runs_to_its_end() -> None:
    cleaning = Flow("cleaning").task("c", {"e": From("", "err")}).task("d", after=["c"])
    story = started(Flow().task("a").sub("fn0", cleaning, TOLD).on_failure())
    assert story.fails("a")[-4:] == [
        "NodeSucceeded fn0-0-start-node",
        "NodeQueued fn0-0-c",
        "AttemptScheduled fn0-0-c#0",
        "NodeStarted fn0-0-c",
    ]
    assert inputs_of(story, "fn0-0-c").literals["e"].scalar.union.value.scalar.error.message == "boom"
    assert story.succeeds("fn0-0-c")[-2:] == ["AttemptScheduled fn0-0-d#0", "NodeStarted fn0-0-d"]
    assert story.succeeds("fn0-0-d")[-2:] == ["NodeSucceeded fn0", "ExecutionFailed USER:Boom"]


def test_a_failing_workflow_as_failure_node_replaces_the_error() -> None:
    cleaning = Flow("cleaning").task("c").task("d")
    story = started(Flow().task("a").sub("fn0", cleaning).on_failure())
    story.fails("a")
    assert story.fails("fn0-0-c", code="USER:Worse")[-2:] == ["NodeFailing fn0 USER:Worse", "AttemptAborting fn0-0-d#0"]
    assert story.sees("fn0-0-d", "KILLED")[-2:] == ["NodeFailed fn0 USER:Worse", "ExecutionFailed USER:Worse"]


def test_failure_of_a_failure_node_is_handled_by_its_own() -> None:
    cleaning = handled(Flow("cleaning").task("c"))
    story = started(Flow().task("a").sub("fn0", cleaning, {"x": INPUT}).on_failure())
    story.fails("a")
    assert story.fails("fn0-0-c", code="USER:Worse")[-1] == "NodeStarted fn0-0-fn0"
    assert story.succeeds("fn0-0-fn0", outputs={})[-2:] == ["NodeFailed fn0 USER:Worse", "ExecutionFailed USER:Worse"]


# ---------------------------------------------------------------------------------------------------- inside others


def test_failure_node_of_a_sub_workflow_runs_inside_it() -> None:
    inner = handled(Flow("inner").task("i").task("j"))
    story = started(Flow().sub("s", inner, {"x": INPUT}).task("b"))
    story.fails("s-0-i")
    assert story.sees("s-0-j", "KILLED")[-3:] == [
        "NodeQueued s-0-fn0",
        "AttemptScheduled s-0-fn0#0",
        "NodeStarted s-0-fn0",
    ]
    error = inputs_of(story, "s-0-fn0").literals["err"].scalar.union.value.scalar.error
    assert (error.message, error.failed_node_id) == ("boom", "s-0-i")
    assert story.phase == "RUNNING"
    assert story.succeeds("s-0-fn0", outputs={})[-3:] == [
        "NodeFailed s USER:Boom",
        "ExecutionFailing USER:Boom",
        "AttemptAborting b#0",
    ]


def test_failure_nodes_inside_and_outside_both_run() -> None:
    inner = handled(Flow("inner").task("i"))
    story = started(handled(Flow().sub("s", inner, {"x": INPUT})))
    story.fails("s-0-i")
    assert story.fails("s-0-fn0", code="USER:Worse")[1:4] == [
        "NodeFailed s-0-fn0 USER:Worse",
        "NodeFailed s USER:Worse",
        "ExecutionFailing USER:Worse",
    ]
    error = inputs_of(story, "fn0").literals["err"].scalar.union.value.scalar.error
    assert error.failed_node_id == "s"
    assert story.succeeds("fn0", outputs={})[-1] == "ExecutionFailed USER:Worse"


def test_failure_outside_ends_the_handling_inside() -> None:
    inner = handled(Flow("inner").task("i"))
    story = started(Flow().sub("s", inner, {"x": INPUT}).task("b"))
    story.fails("s-0-i")
    assert story.fails("b", code="USER:Other")[2:] == ["ExecutionFailing USER:Other", "AttemptAborting s-0-fn0#0"]
    assert story.sees("s-0-fn0", "KILLED")[1:] == [
        "NodeAborted s-0-fn0 NodeAborted",
        "NodeFailed s USER:Boom",
        "ExecutionFailed USER:Other",
    ]


def test_failure_outside_before_the_handling_inside_has_begun() -> None:
    inner = handled(Flow("inner").task("i").task("j"))
    story = started(Flow().sub("s", inner, {"x": INPUT}).task("b"))
    story.fails("s-0-i")
    story.fails("b", code="USER:Other")
    assert story.sees("s-0-j", "KILLED")[-1] == "ExecutionFailed USER:Other"
    assert "s-0-fn0" not in story.phases()


@pytest.mark.parametrize("policy_inside", [False, True])
def test_policy_of_the_top_level_holds_inside(policy_inside: bool) -> None:
    inner = handled(Flow("inner").task("i").task("j"))
    if policy_inside:
        inner.fails_after()
    story = started(Flow().sub("s", inner, {"x": INPUT}))
    assert story.fails("s-0-i")[-1] == "AttemptAborting s-0-j#0"
    outer = Flow().fails_after().sub("s", inner, {"x": INPUT}).task("b")
    story = started(outer)
    assert story.fails("s-0-i") == ["AttemptFailed s-0-i#0 USER:Boom", "NodeFailed s-0-i USER:Boom"]
    assert story.succeeds("s-0-j")[2:6] == [
        "NodeSkipped s-0-end-node",
        "NodeFailing s USER:Boom",
        "NodeQueued s-0-fn0",
        "AttemptScheduled s-0-fn0#0",
    ]
    assert story.succeeds("s-0-fn0", outputs={})[-1] == "NodeFailed s USER:Boom"
    assert story.succeeds("b")[-1] == "ExecutionFailed USER:Boom"


def test_time_out_of_a_sub_workflow_is_no_failure_inside_it() -> None:
    inner = handled(Flow("inner").task("i"))
    story = started(Flow().sub("s", inner, {"x": INPUT}, timeout=8))
    story.fire("s/0/attempt")
    assert story.sees("s-0-i", "KILLED")[2] == "NodeFailed s RetriesExhausted|TimeoutExpired"


def test_time_out_of_a_sub_workflow_ends_its_failure_node() -> None:
    inner = handled(Flow("inner").task("i"))
    story = started(Flow().sub("s", inner, {"x": INPUT}, timeout=8))
    story.fails("s-0-i")
    assert story.fire("s/0/attempt") == []
    assert story.fire("s/0/node") == ["NodeFailing s", "AttemptAborting s-0-fn0#0"]
    assert story.fire("s/0/node") == []
    assert story.sees("s-0-fn0", "KILLED")[:3] == [
        "AttemptAborted s-0-fn0#0",
        "NodeAborted s-0-fn0 NodeAborted",
        "NodeTimedOut s",
    ]


def test_sub_workflow_of_a_dynamic_node_handles_its_failure() -> None:
    inner = Flow("inner").task("i").task("fn0", {"x": INPUT}).on_failure()
    story = started(Flow().task("n0", {"x": INPUT}, outputs=()))
    story.asks("n0", Flow("plan").sub("d0", inner, {"x": 4}))
    story.fails("n0-0-d0-0-i")
    assert story.succeeds("n0-0-d0-0-fn0", outputs={})[-1] == "ExecutionFailed USER:Boom"


def test_pause_between_attempts_is_no_obstacle() -> None:
    settings = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1))
    story = started(handled(Flow().task("a").task("b", retries=1)), settings=settings)
    story.fails("b", recoverable=True)
    assert story.fails("a")[-3:] == ["NodeQueued fn0", "AttemptScheduled fn0#0", "NodeStarted fn0"]
    assert story.fire("b/1/retry") == []


def test_failures_of_branches_and_maps_are_handled() -> None:
    flow = Flow().map("m", {"a": [1, 2]}).task("fn0", {"x": INPUT}).on_failure()
    story = started(flow)
    story.fails("m-0-n0")
    assert "fn0" not in story.phases()
    assert story.sees("m-0-n1", "KILLED")[-3:] == ["NodeQueued fn0", "AttemptScheduled fn0#0", "NodeStarted fn0"]


# ---------------------------------------------------------------------------------------------------- of other kinds


def test_a_gate_as_failure_node() -> None:
    story = started(Flow().task("a").sleeps("fn0", 5).on_failure())
    story.fails("a")
    assert story.phase == "FAILING"
    assert story.fire("fn0/0/sleep") == ["NodeSucceeded fn0", "ExecutionFailed USER:Boom"]


def test_a_launch_plan_as_failure_node() -> None:
    story = started(Flow().task("a").launches("fn0", {"x": INPUT}).on_failure())
    assert story.fails("a")[-1].startswith("ChildExecutionRequested fn0#0")
    assert story.child_succeeds("fn0")[-1] == "ExecutionFailed USER:Boom"
    story = started(Flow().task("a").launches("fn0", {"x": INPUT}).on_failure())
    story.fails("a")
    assert story.child_fails("fn0", code="USER:Worse")[-1] == "ExecutionFailed USER:Worse"
    story = started(Flow().task("a").launches("fn0", {"x": INPUT}).on_failure())
    story.fails("a")
    assert story.terminate(force=True)[-1] == "ExecutionAborted"


def test_a_map_as_failure_node() -> None:
    story = started(Flow().task("a").map("fn0", {"a": [1, 2]}).on_failure())
    story.fails("a")
    story.succeeds("fn0-0-n0")
    assert story.succeeds("fn0-0-n1")[-1] == "ExecutionFailed USER:Boom"
