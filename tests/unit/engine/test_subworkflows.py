"""Workflows as nodes: ids and places of children, how they end, fail, time out and are aborted."""

from flightlog_protos.execution.v1 import facts_pb2 as facts
from tests.unit.engine.story import INPUT, WORKFLOW_DIR, Flow, From, Story


def inner(**outputs: From) -> Flow:
    flow = Flow("inner").task("n0", {"a": INPUT}).task("n1", {"a": From("n0"), "b": INPUT})
    return flow.returns(**(outputs or {"o0": From("n1")}))


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 1}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def test_children_run_inside_their_parent() -> None:
    story = Story(
        Flow().sub("n0", inner(), {"x": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1")), {"x": 1}
    )
    assert story.start()[3:] == [
        "NodeQueued n0",
        "NodeStarted n0",
        "NodeQueued n0-0-start-node",
        "NodeSucceeded n0-0-start-node",
        "NodeQueued n0-0-n0",
        "AttemptScheduled n0-0-n0#0",
        "NodeStarted n0-0-n0",
    ]
    story.succeeds("n0-0-n0", outputs={"o0": 2})
    assert story.succeeds("n0-0-n1", outputs={"o0": 3})[2:] == [
        "NodeQueued n0-0-end-node",
        "NodeSucceeded n0-0-end-node",
        "NodeSucceeded n0",
        "NodeQueued n1",
        "AttemptScheduled n1#0",
        "NodeStarted n1",
    ]
    story.succeeds("n1", outputs={"o0": 4})
    assert story.outputs() == {"o0": 4}


def test_children_have_their_places_under_the_parents_attempt() -> None:
    story = started(Flow().sub("n0", inner(), {"x": INPUT}).returns(o0=From("n0")))
    story.succeeds("n0-0-n0", outputs={"o0": 2})
    story.succeeds("n0-0-n1", outputs={"o0": 3})
    parent = story.last(facts.NodeQueued, node_id="n0")
    assert (parent.kind, parent.is_parent, parent.retry_group) == (facts.SUB_WORKFLOW, True, "")
    assert story.data(parent.inputs) == {"x": 1}
    child = story.last(facts.NodeQueued, node_id="n0-0-n1")
    assert (child.parent_node_id, child.retry_group, child.spec_node_id) == ("n0", "0", "n1")
    assert child.inputs.uri == f"{WORKFLOW_DIR}/n0/data/0/n1/inputs.pb"
    assert story.data(child.inputs) == {"a": 2, "b": 1}
    scheduled = story.last(facts.AttemptScheduled, node_id="n0-0-n1")
    assert scheduled.output_prefix == f"{WORKFLOW_DIR}/n0/data/0/n1/0"
    assert scheduled.generated_name == "akmhktsb8cz8hwmv4ldf-n0-0-n1-0"
    start = story.last(facts.NodeSucceeded, node_id="n0-0-start-node")
    assert start.outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/start-node/0/outputs.pb"
    end = story.last(facts.NodeQueued, node_id="n0-0-end-node")
    assert end.inputs.uri == f"{WORKFLOW_DIR}/n0/data/0/end-node/inputs.pb"
    outputs = story.last(facts.NodeSucceeded, node_id="n0").outputs
    assert outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert story.data(outputs) == {"o0": 3}


def test_workflow_without_outputs_leaves_none() -> None:
    story = started(Flow().sub("n0", Flow("inner").task("n0")))
    story.succeeds("n0-0-n0")
    assert not story.last(facts.NodeSucceeded, node_id="n0").HasField("outputs")
    assert story.phase == "SUCCEEDED"


def test_workflows_nest() -> None:
    middle = Flow("middle").sub("m", inner(), {"x": INPUT}).returns(o0=From("m"))
    story = started(Flow().sub("n0", middle, {"x": INPUT}).returns(o0=From("n0")))
    assert story.phases()["n0-0-m-0-n0"] == "RUNNING"
    story.succeeds("n0-0-m-0-n0", outputs={"o0": 2})
    assert story.last(facts.NodeQueued, node_id="n0-0-m-0-n1").parent_node_id == "n0-0-m"
    story.succeeds("n0-0-m-0-n1", outputs={"o0": 3})
    assert story.outputs() == {"o0": 3}


def test_two_nodes_may_run_the_same_workflow() -> None:
    sub = inner()
    story = started(Flow().sub("a", sub, {"x": INPUT}).sub("b", sub, {"x": From("a")}).returns(o0=From("b")))
    story.succeeds("a-0-n0", outputs={"o0": 2})
    story.succeeds("a-0-n1", outputs={"o0": 3})
    assert story.data(story.last(facts.AttemptScheduled, node_id="b-0-n0").inputs) == {"a": 3}


def test_failure_of_a_child_is_the_failure_of_its_parent() -> None:
    flow = Flow("inner").task("a").task("b")
    story = started(Flow().sub("n0", flow).task("n1"))
    assert story.fails("n0-0-a") == [
        "AttemptFailed n0-0-a#0 USER:Boom",
        "NodeFailed n0-0-a USER:Boom",
        "NodeFailing n0 USER:Boom",
        "AttemptAborting n0-0-b#0",
    ]
    assert story.last(facts.AttemptAborting).reason == "subworkflow failed"
    assert story.sees("n0-0-b", "KILLED") == [
        "AttemptAborted n0-0-b#0",
        "NodeAborted n0-0-b NodeAborted",
        "NodeFailed n0 USER:Boom",
        "ExecutionFailing USER:Boom",
        "AttemptAborting n1#0",
    ]
    assert story.last(facts.ExecutionFailing).node_id == "n0"
    assert story.sees("n1", "KILLED")[-1] == "ExecutionFailed USER:Boom"


def test_failure_policy_of_the_sub_workflow_is_not_asked() -> None:
    story = started(Flow().sub("n0", Flow("inner").fails_after().task("a").task("b")))
    assert "AttemptAborting n0-0-b#0" in story.fails("n0-0-a")


def test_policy_of_the_outer_workflow_holds_inside() -> None:
    flow = Flow("inner").task("a").task("b").task("c", after=["a"])
    story = started(Flow().fails_after().sub("n0", flow).task("n1").task("n2", after=["n0"]))
    assert story.fails("n0-0-a")[1:] == ["NodeFailed n0-0-a USER:Boom", "NodeSkipped n0-0-c"]
    assert story.succeeds("n0-0-b")[2:] == ["NodeSkipped n0-0-end-node", "NodeFailed n0 USER:Boom", "NodeSkipped n2"]
    assert story.succeeds("n1")[2:] == [
        "NodeSkipped end-node",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]


def test_outer_failure_aborts_children_and_then_their_parents() -> None:
    middle = Flow("middle").sub("m", Flow("inner").task("a"))
    story = started(Flow().sub("n0", middle).task("n1"))
    assert story.fails("n1")[2:] == ["ExecutionFailing USER:Boom", "AttemptAborting n0-0-m-0-a#0"]
    assert story.sees("n0-0-m-0-a", "KILLED") == [
        "AttemptAborted n0-0-m-0-a#0",
        "NodeAborted n0-0-m-0-a NodeAborted",
        "NodeAborted n0-0-m NodeAborted",
        "NodeAborted n0 NodeAborted",
        "ExecutionFailed USER:Boom",
    ]


def test_abort_reaches_children() -> None:
    story = started(Flow().sub("n0", Flow("inner").task("a").task("b")), parallelism=1)
    assert story.terminate() == ["AbortRequested", "AttemptAborting n0-0-a#0", "NodeAborted n0-0-b NodeAborted"]
    assert story.sees("n0-0-a", "KILLED")[2:] == ["NodeAborted n0 NodeAborted", "ExecutionAborted"]


def test_abort_wins_over_a_sub_workflow_that_is_failing() -> None:
    story = started(Flow().sub("n0", Flow("inner").task("a").task("b")))
    story.fails("n0-0-a")
    story.terminate()
    assert story.sees("n0-0-b", "KILLED")[2:] == ["NodeAborted n0 NodeAborted", "ExecutionAborted"]


def test_parallelism_is_shared_with_children() -> None:
    story = started(Flow().sub("n0", Flow("inner").task("a").task("b")).task("n1"), parallelism=2)
    assert [fact.node_id for fact in story.history if isinstance(fact, facts.AttemptScheduled)] == ["n1", "n0-0-a"]


def test_child_that_times_out_for_good_fails_its_parent() -> None:
    story = started(Flow().sub("n0", Flow("inner").task("a", timeout=1, retries=5)))
    assert story.fire("n0-0-a/0/node") == ["NodeFailing n0-0-a", "AttemptAborting n0-0-a#0"]
    assert story.sees("n0-0-a", "KILLED")[1:4] == [
        "NodeTimedOut n0-0-a",
        "NodeFailing n0 Timeout",
        "NodeFailed n0 Timeout",
    ]


def test_sub_workflow_that_times_out_runs_again_with_new_children() -> None:
    story = started(Flow().sub("n0", inner(), {"x": INPUT}, timeout=8, node_retries=1).returns(o0=From("n0")))
    assert story.fire("n0/0/attempt") == ["NodeFailing n0 TimeoutExpired", "AttemptAborting n0-0-n0#0"]
    assert story.fire("n0/0/attempt") == []
    assert story.sees("n0-0-n0", "KILLED") == [
        "AttemptAborted n0-0-n0#0",
        "NodeAborted n0-0-n0 NodeAborted",
        "RetryScheduled n0#1",
        "TimerSet n0/1/attempt",
        "NodeQueued n0-1-start-node",
        "NodeSucceeded n0-1-start-node",
        "NodeQueued n0-1-n0",
        "AttemptScheduled n0-1-n0#0",
        "NodeStarted n0-1-n0",
    ]
    assert story.last(facts.NodeQueued, node_id="n0-1-n0").retry_group == "1"
    story.succeeds("n0-1-n0", outputs={"o0": 2})
    story.succeeds("n0-1-n1", outputs={"o0": 3})
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/1/outputs.pb"
    assert story.outputs() == {"o0": 3}


def test_sub_workflow_that_times_out_while_nothing_runs_in_it_starts_again_at_once() -> None:
    flow = Flow("inner").task("a").task("b", after=["a"])
    story = started(Flow().task("busy").sub("n0", flow, timeout=8, node_retries=1), parallelism=1)
    assert story.phases()["n0-0-a"] == "QUEUED"
    assert story.fire("n0/0/attempt") == [
        "NodeFailing n0 TimeoutExpired",
        "NodeAborted n0-0-a NodeAborted",
        "RetryScheduled n0#1",
        "TimerSet n0/1/attempt",
        "NodeQueued n0-1-start-node",
        "NodeSucceeded n0-1-start-node",
        "NodeQueued n0-1-a",
    ]
    assert story.succeeds("busy")[2:] == ["AttemptScheduled n0-1-a#0", "NodeStarted n0-1-a"]


def test_sub_workflow_that_times_out_without_retries_fails() -> None:
    story = started(Flow().sub("n0", inner(), {"x": INPUT}, timeout=8))
    story.fire("n0/0/attempt")
    assert "NodeFailed n0 RetriesExhausted|TimeoutExpired" in story.sees("n0-0-n0", "KILLED")


def test_deadline_of_a_sub_workflow_node_while_it_is_stopped_for_a_retry() -> None:
    story = started(Flow().sub("n0", inner(), {"x": INPUT}, timeout=8, node_retries=1))
    story.fire("n0/0/attempt")
    assert story.fire("n0/0/node") == ["NodeFailing n0"]
    assert "NodeTimedOut n0" in story.sees("n0-0-n0", "KILLED")


def test_sub_workflow_of_echoes_is_decided_at_once() -> None:
    story = started(
        Flow().sub("n0", Flow("inner").echo("e").returns(o0=From("e")), {"x": INPUT}).returns(o0=From("n0"))
    )
    assert story.outputs() == {"o0": 1}


def test_chain_of_sub_workflows_is_no_recursion() -> None:
    sub = Flow("inner").echo("e").returns(o0=From("e"))
    flow = Flow().sub("n0", sub, {"x": INPUT})
    for index in range(1, 400):
        flow.sub(f"n{index}", sub, {"x": From(f"n{index - 1}")})
    assert started(flow.returns(o0=From("n399"))).outputs() == {"o0": 1}


def test_data_of_workflows_deep_inside_one_another_has_keys_that_object_stores_take() -> None:
    flow = Flow("deepest").echo("n" * 200).returns(o0=From("n" * 200))
    for level in range(12):
        node_id = f"{level}".ljust(200, "s")
        flow = Flow(f"level{level}").sub(node_id, flow, {"x": INPUT}).returns(o0=From(node_id))
    story = Story(flow, {"x": 7})
    story.start()
    assert story.phase == "SUCCEEDED"
    assert story.outputs() == {"o0": 7}
    assert max(len(uri.removeprefix("s3://bucket/").encode()) for uri in story.blobs) < 1024
    places = [node.data_prefix for node in story.state.nodes.values()] if story.state else []
    assert len(set(places)) == len(places) > 36
