"""Dynamic nodes: what a task asks for runs under it, and decides how it ends (engine-semantics §5.1)."""

from datetime import timedelta

import pytest
from flyteidl.core import compiler_pb2, interface_pb2
from flyteidl.core.execution_pb2 import ExecutionError

from flightlog_compiler import EntityKey, LaunchPlanInterface
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.launcher.v1.observations_pb2 import Exit
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from services.execution import engine
from tests.unit.engine.story import INPUT, WORKFLOW_DIR, Flow, From, Story, identifier, when


def asked() -> Flow:
    return Flow("asked").task("dn0", {"a": 7}).task("dn1", {"a": From("dn0")}).returns(o0=From("dn1"))


def started(flow: Flow | None = None, **options: object) -> Story:
    flow = flow or Flow().task("n0", {"x": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1"))
    story = Story(flow, {"x": 1}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def planned(story: Story, node_id: str = "n0") -> compiler_pb2.CompiledWorkflowClosure:
    """The workflow that was made of what the node's task asked for."""
    ref = story.last(facts.DynamicPlanned, node_id=node_id).closure
    return compiler_pb2.CompiledWorkflowClosure.FromString(story.blobs[ref.uri])


def test_what_a_task_asks_for_runs_beneath_it() -> None:
    story = started()
    assert story.asks("n0", asked()) == [
        "AttemptSucceeded n0#0",
        "DynamicPlanned n0#0",
        "NodeQueued n0-0-start-node",
        "NodeSucceeded n0-0-start-node",
        "NodeQueued n0-0-dn0",
        "AttemptScheduled n0-0-dn0#0",
        "NodeStarted n0-0-dn0",
    ]
    story.succeeds("n0-0-dn0", outputs={"o0": 8})
    assert story.succeeds("n0-0-dn1", outputs={"o0": 9})[2:] == [
        "NodeQueued n0-0-end-node",
        "NodeSucceeded n0-0-end-node",
        "NodeSucceeded n0",
        "NodeQueued n1",
        "AttemptScheduled n1#0",
        "NodeStarted n1",
    ]
    assert story.data(story.last(facts.AttemptScheduled, node_id="n1").inputs) == {"a": 9}
    story.succeeds("n1", outputs={"o0": 10})
    assert story.outputs() == {"o0": 10}


def test_places_and_names() -> None:
    story = started()
    story.asks("n0", asked())
    prefix = f"{WORKFLOW_DIR}/n0/data/0"
    succeeded = story.last(facts.AttemptSucceeded, node_id="n0")
    assert (succeeded.outputs.uri, succeeded.outputs.sha256) == (f"{prefix}/outputs.pb", b"")
    plan = story.last(facts.DynamicPlanned)
    assert plan.closure.uri == f"{prefix}/dynamic_compiled.pb"
    assert plan.job_spec.uri == f"{prefix}/futures.pb"
    assert plan.workflow_id == planned(story).primary.template.id
    assert (plan.workflow_id.project, plan.workflow_id.domain, plan.workflow_id.name) == ("p", "d", "dynamic_n0")
    child = story.last(facts.NodeQueued, node_id="n0-0-dn0")
    assert (child.parent_node_id, child.retry_group, child.spec_node_id) == ("n0", "0", "dn0")
    scheduled = story.last(facts.AttemptScheduled, node_id="n0-0-dn0")
    # Where the launcher finds the child's task.
    assert scheduled.closure == plan.closure
    assert scheduled.task_id in [task.template.id for task in planned(story).tasks]
    assert scheduled.output_prefix == f"{prefix}/dn0/0"
    story.succeeds("n0-0-dn0")
    story.succeeds("n0-0-dn1", outputs={"o0": 3})
    outputs = story.last(facts.NodeSucceeded, node_id="n0").outputs
    assert outputs.uri == f"{prefix}/outputs.pb"
    assert story.data(outputs) == {"o0": 3}
    assert story.last(facts.AttemptScheduled, node_id="n1").closure.uri != plan.closure.uri


def test_a_task_without_outputs_may_ask_for_nodes_too() -> None:
    story = started(Flow().task("n0", outputs=()).task("n1", after=["n0"]))
    story.asks("n0", Flow("asked").task("dn0"))
    story.succeeds("n0-0-dn0")
    assert not story.last(facts.NodeSucceeded, node_id="n0").HasField("outputs")
    story.succeeds("n1")
    assert story.phase == "SUCCEEDED"


@pytest.mark.parametrize("deck", [False, True])
def test_deck_of_the_task_is_named_with_its_plan(deck: bool) -> None:
    story = started(Flow().task("n0"))
    story.asks("n0", asked(), deck=deck)
    assert story.last(facts.DynamicPlanned).deck_uri == (f"{WORKFLOW_DIR}/n0/data/0/deck.html" if deck else "")


def test_dynamics_nest_and_hold_sub_workflows() -> None:
    story = started()
    sub = Flow("sub").task("s0", {"a": INPUT}).returns(o0=From("s0"))
    outer = Flow("outer").sub("dn0", sub, {"x": 5}).task("dn1", {"a": From("dn0")}).returns(o0=From("dn1"))
    story.asks("n0", outer)
    story.succeeds("n0-0-dn0-0-s0", outputs={"o0": 6})
    # The task of the sub-workflow's node may ask as well; here it is the one after it.
    story.asks("n0-0-dn1", asked())
    names = {planned(story, node).primary.template.id.name for node in ("n0", "n0-0-dn1")}
    assert names == {"dynamic_n0", "dynamic_dn1"}
    story.succeeds("n0-0-dn1-0-dn0", outputs={"o0": 7})
    assert "NodeSucceeded n0" in story.succeeds("n0-0-dn1-0-dn1", outputs={"o0": 8})
    story.succeeds("n1", outputs={"o0": 9})
    assert story.outputs() == {"o0": 9}


def test_a_dynamic_node_of_a_sub_workflow() -> None:
    sub = Flow("sub").task("a", {"x": INPUT}).returns(o0=From("a"))
    story = started(Flow().sub("n0", sub, {"x": INPUT}).returns(o0=From("n0")))
    story.asks("n0-0-a", asked())
    story.succeeds("n0-0-a-0-dn0")
    story.succeeds("n0-0-a-0-dn1", outputs={"o0": 4})
    assert story.outputs() == {"o0": 4}


def test_ids_stay_short_however_deep() -> None:
    sub: Flow = Flow("s3").task("deepest", {"x": INPUT}).returns(o0=From("deepest"))
    for name in ("s2", "s1"):
        sub = Flow(name).sub("inner", sub, {"x": INPUT}).returns(o0=From("inner"))
    story = started(Flow().sub("n0", sub, {"x": INPUT}).returns(o0=From("n0")))
    deepest = story.last(facts.AttemptScheduled).node_id
    story.asks(deepest, asked())
    child = story.last(facts.AttemptScheduled).node_id
    story.asks(child, asked())
    assert all(len(node_id) <= 20 for node_id in story.phases())


def test_conditionals_and_gates_may_be_asked_for() -> None:
    story = started(Flow().task("n0", {"x": INPUT}).returns(o0=From("n0")))
    arm = Flow("arm").task("taken", {"a": From("dn0")})
    other = Flow("arm").task("other", {"a": From("dn0")})
    flow = Flow("asked").task("dn0", {"a": 7}).sleeps("dn1", 5)
    flow.branch("dn2", (when(From("dn0"), "GT", 5), arm), otherwise=other, after=["dn1"]).returns(o0=From("dn2"))
    story.asks("n0", flow)
    story.succeeds("n0-0-dn0", outputs={"o0": 8})
    assert "AttemptScheduled n0-0-dn2-0-dn2-taken#0" in story.fire(story.last(facts.TimerSet).timer_id)
    story.succeeds("n0-0-dn2-0-dn2-taken", outputs={"o0": 9})
    assert story.outputs() == {"o0": 9}


def test_maps_may_be_asked_for() -> None:
    story = started(Flow().task("n0", {"x": INPUT}).returns(o0=From("n0")))
    story.asks("n0", Flow("asked").map("dn0", {"a": [1, 2]}, original=True).returns(o0=7))
    for index in range(2):
        story.succeeds(f"n0-0-dn0-0-n{index}", outputs={"o0": index})
    assert story.data(story.last(facts.NodeSucceeded, node_id="n0-0-dn0").outputs) == {"o0": [0, 1]}
    assert story.outputs() == {"o0": 7}


def test_launch_plans_are_planned_when_they_are_known() -> None:
    launch_plan_id = identifier("LAUNCH_PLAN", "lp")
    flow = asked()
    node = flow.nodes[1]
    node.workflow_node.launchplan_ref.CopyFrom(launch_plan_id)
    parameters = interface_pb2.ParameterMap()
    parameters.parameters["a"].var.type.simple = 1
    parameters.parameters["a"].required = True
    outputs = interface_pb2.VariableMap()
    outputs.variables["o0"].type.simple = 1
    known = {EntityKey.of(launch_plan_id): LaunchPlanInterface(launch_plan_id, parameters, outputs)}
    story = started()
    story.asks("n0", flow, launch_plans=known)
    assert planned(story).primary.template.nodes[3].workflow_node.launchplan_ref == launch_plan_id
    unknown = started()
    unknown.asks("n0", flow)
    assert unknown.error().code == "DynamicWorkflowBuildFailed"
    assert "WorkflowReferenceNotFound" in unknown.error().message


# ---------------------------------------------------------------------------------------------------- failing


def test_failure_of_a_child_fails_the_node_for_good() -> None:
    story = started(Flow().task("n0", {"x": INPUT}, retries=3).returns(o0=From("n0")))
    story.asks("n0", Flow("asked").task("dn0").task("dn1").returns(o0=From("dn0")))
    assert story.fails("n0-0-dn0") == [
        "AttemptFailed n0-0-dn0#0 USER:Boom",
        "NodeFailed n0-0-dn0 USER:Boom",
        "NodeFailing n0 USER:Boom",
        "AttemptAborting n0-0-dn1#0",
    ]
    assert story.sees("n0-0-dn1", "KILLED") == [
        "AttemptAborted n0-0-dn1#0",
        "NodeAborted n0-0-dn1 NodeAborted",
        "NodeFailed n0 USER:Boom",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]
    assert not story.has(facts.RetryScheduled)


def test_children_have_retries_of_their_own() -> None:
    story = started()
    story.asks("n0", Flow("asked").task("dn0", retries=1).returns(o0=From("dn0")))
    assert story.fails("n0-0-dn0", recoverable=True)[1:] == ["RetryScheduled n0-0-dn0#1", "AttemptScheduled n0-0-dn0#1"]
    assert "NodeSucceeded n0" in story.succeeds("n0-0-dn0", attempt=1)


def test_an_attempt_that_failed_before_it_asked_is_retried() -> None:
    story = started(Flow().task("n0", {"x": INPUT}, retries=1).returns(o0=From("n0")))
    story.fails("n0", recoverable=True)
    assert "NodeQueued n0-1-dn0" in story.asks("n0", asked(), attempt=1)
    assert story.last(facts.NodeQueued, node_id="n0-1-dn0").retry_group == "1"
    assert story.last(facts.DynamicPlanned).attempt == 1


def test_a_child_that_timed_out_lets_the_task_ask_again() -> None:
    story = started(Flow().task("n0", {"x": INPUT}, retries=1).returns(o0=From("n0")))
    story.asks("n0", Flow("asked").task("dn0", timeout=10).returns(o0=From("dn0")))
    first = story.last(facts.DynamicPlanned)
    story.fire("n0-0-dn0/0/node")
    assert story.sees("n0-0-dn0", "KILLED") == [
        "AttemptAborted n0-0-dn0#0",
        "NodeTimedOut n0-0-dn0",
        "NodeFailing n0 Timeout",
        "RetryScheduled n0#1",
        "AttemptScheduled n0#1",
    ]
    story.asks("n0", asked(), attempt=1)
    second = story.last(facts.DynamicPlanned)
    assert second.closure.uri == f"{WORKFLOW_DIR}/n0/data/1/dynamic_compiled.pb"
    assert second.workflow_id.version != first.workflow_id.version
    story.succeeds("n0-1-dn0")
    story.succeeds("n0-1-dn1", outputs={"o0": 2})
    assert story.outputs() == {"o0": 2}
    assert story.phases()["n0-0-dn0"] == "TIMED_OUT"


def test_a_child_that_timed_out_uses_up_the_budget() -> None:
    for flow in (Flow().task("n0"), Flow().fails_after().task("n0")):
        story = started(flow)
        story.asks("n0", Flow("asked").task("dn0", timeout=10).returns(o0=From("dn0")))
        story.fire("n0-0-dn0/0/node")
        story.sees("n0-0-dn0", "KILLED")
        assert story.error().code == "RetriesExhausted|Timeout"


def test_deadline_of_the_node_holds_for_its_children() -> None:
    story = started(Flow().task("n0", retries=1, timeout=60))
    story.asks("n0", asked())
    assert story.fire("n0/0/attempt") == ["NodeFailing n0 TimeoutExpired", "AttemptAborting n0-0-dn0#0"]
    assert story.sees("n0-0-dn0", "KILLED")[2:4] == ["RetryScheduled n0#1", "AttemptScheduled n0#1"]
    story.asks("n0", asked(), attempt=1)
    story.fire("n0/0/node")
    assert story.sees("n0-1-dn0", "KILLED")[2] == "NodeTimedOut n0"


def test_abort_reaches_the_children() -> None:
    story = started()
    story.asks("n0", asked())
    assert story.terminate() == ["AbortRequested", "AttemptAborting n0-0-dn0#0"]
    assert story.sees("n0-0-dn0", "KILLED") == [
        "AttemptAborted n0-0-dn0#0",
        "NodeAborted n0-0-dn0 NodeAborted",
        "NodeAborted n0 NodeAborted",
        "ExecutionAborted",
    ]


# ---------------------------------------------------------------------------------------------------- plans


def test_what_does_not_compile_fails_the_node_for_good() -> None:
    story = started(Flow().task("n0", {"x": INPUT}, retries=3).returns(o0=From("n0")))
    assert story.asks("n0", Flow("asked").task("dn0"))[:2] == [
        "AttemptSucceeded n0#0",
        "NodeFailed n0 DynamicWorkflowBuildFailed",
    ]
    error = story.error()
    assert error.kind == ExecutionError.USER
    assert "Parameter not bound [o0]" in error.message
    assert not story.has(facts.DynamicPlanned)


def test_a_damaged_plan_is_asked_for_again() -> None:
    story = started()
    damaged = engine.Futures(DataRef(uri="s3://bucket/futures.pb"), None)
    observation = story.observation("n0", "EXITED")
    assert story.does(engine.ObserveAttempt(observation, engine.AttemptResult(futures=damaged))) == [
        "AttemptSucceeded n0#0",
        "RetryScheduled n0#1",
        "AttemptScheduled n0#1",
    ]


def test_a_plan_may_be_too_large() -> None:
    story = started()
    large = engine.Futures(DataRef(uri="s3://bucket/futures.pb"), None, too_large=True)
    story.does(engine.ObserveAttempt(story.observation("n0", "EXITED"), engine.AttemptResult(futures=large)))
    assert (story.error().code, story.error().kind) == ("DynamicWorkflowBuildFailed", ExecutionError.USER)


def test_only_a_task_that_ends_well_asks_for_nodes() -> None:
    futures = engine.Futures(DataRef(uri="s3://bucket/futures.pb"), asked().job_spec())
    story = started()
    killed = story.observation("n0", "EXITED", exit=Exit(code=137, signal=9))
    assert story.does(engine.ObserveAttempt(killed, engine.AttemptResult(futures=futures)))[0].startswith(
        "AttemptFailed n0#0"
    )
    assert not story.has(facts.DynamicPlanned)
    # Nothing else is looked at then (engine-semantics §3.2).
    story = started()
    assert "DynamicPlanned n0#0" in story.fails("n0", futures=futures)


def test_a_lost_plan_ends_the_execution() -> None:
    story = started()
    story.asks("n0", asked())
    story.lost[story.last(facts.DynamicPlanned).closure.uri] = "it does not exist"
    story.succeeds("n0-0-dn0")
    assert story.error().code == "BadSpecificationError"
    assert "it does not exist" in story.error().message


# ---------------------------------------------------------------------------------------------------- places


def test_a_node_that_asked_leaves_its_place_to_its_children() -> None:
    story = started(Flow().task("n0").task("n1"), parallelism=1)
    assert story.phases()["n1"] == "QUEUED"
    # Whoever waited longest comes first.
    assert "AttemptScheduled n1#0" in story.asks("n0", asked())
    assert story.phases()["n0-0-dn0"] == "QUEUED"
    assert "AttemptScheduled n0-0-dn0#0" in story.succeeds("n1")
    story.succeeds("n0-0-dn0")
    story.succeeds("n0-0-dn1")
    assert story.phase == "SUCCEEDED"
    assert story.state is not None
    assert story.state.slots == 0


def test_a_task_that_is_to_ask_again_waits_for_a_place() -> None:
    pausing = engine.EngineSettings(retry_backoff_base=timedelta(seconds=1))
    story = started(Flow().task("n0", timeout=60, retries=1).task("n1"), parallelism=1, settings=pausing)
    story.asks("n0", asked())
    assert story.fire("n0/0/attempt") == [
        "NodeFailing n0 TimeoutExpired",
        "NodeAborted n0-0-dn0 NodeAborted",
        "RetryScheduled n0#1",
    ]
    assert story.succeeds("n1")[2] == "AttemptScheduled n0#1"
    story.asks("n0", asked(), attempt=1)
    story.succeeds("n0-1-dn0")
    story.succeeds("n0-1-dn1")
    assert story.phase == "SUCCEEDED"


def test_thousands_of_nodes_may_be_asked_for() -> None:
    flow = Flow("asked")
    for index in range(2000):
        flow.echo(f"dn{index}", index)
    story = started(Flow().task("n0", outputs=()), settings=engine.EngineSettings(retry_backoff_base=timedelta()))
    assert story.asks("n0", flow)[-1] == "ExecutionSucceeded"


@pytest.mark.parametrize("attempt", [0, 1])
def test_planning_again_gives_the_same_bytes(attempt: int) -> None:
    """A service that dies between observation and append leaves the one after it the same decision."""
    stories = [started(Flow().task("n0", {"x": INPUT}, retries=1).returns(o0=From("n0"))) for _ in range(2)]
    for story in stories:
        if attempt:
            story.fails("n0", recoverable=True)
        story.asks("n0", asked(), attempt=attempt)
    plans = [story.last(facts.DynamicPlanned) for story in stories]
    assert plans[0].SerializeToString(deterministic=True) == plans[1].SerializeToString(deterministic=True)
    assert stories[0].blobs == stories[1].blobs
