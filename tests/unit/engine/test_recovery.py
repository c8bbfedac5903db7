"""Recovering an execution: what of the earlier one is reused, what runs again, and where it goes on."""

import pytest
from flyteidl.core.execution_pb2 import NodeExecution
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, NAME, Flow, From, Story, told, when

AGAIN = f"r{NAME[:-1]}"
DIR = f"s3://bucket/metadata/propeller/p-d-{AGAIN}"


def started(flow: Flow, **options: object) -> Story:
    story = Story(flow, {"x": 10}, **options)  # type: ignore[arg-type]
    story.start()
    return story


def again(story: Story, **options: object) -> Story:
    recovered = story.recovered(**options)  # type: ignore[arg-type]
    recovered.start()
    return recovered


def chain() -> Flow:
    return (
        Flow()
        .task("n0", {"a": INPUT})
        .task("n1", {"a": From("n0")})
        .task("n2", {"a": From("n1")})
        .task("n3", {"a": From("n2")})
        .returns(o0=From("n3"))
    )


def failed_chain() -> Story:
    story = started(chain())
    story.succeeds("n0", outputs={"o0": 11}, deck=True)
    story.succeeds("n1", outputs={"o0": 12})
    story.fails("n2")
    return story


def test_it_begins_at_the_node_that_failed() -> None:
    story = failed_chain().recovered()
    assert story.start() == [
        "ExecutionStarted", "NodeQueued start-node", "NodeSucceeded start-node",
        "NodeQueued n0", "NodeRecovered n0", "NodeQueued n1", "NodeRecovered n1",
        "NodeQueued n2", "AttemptScheduled n2#0", "NodeStarted n2",
    ]  # fmt: skip
    story.succeeds("n2", outputs={"o0": 13})
    assert story.data(story.last(facts.NodeQueued, node_id="n2").inputs) == {"a": 12}
    story.succeeds("n3", outputs={"o0": 14})
    assert story.outputs() == {"o0": 14}
    assert story.phases()["n0"] == "RECOVERED"


def test_a_recovered_node_has_a_copy_of_its_outputs() -> None:
    source = failed_chain()
    recovered = again(source).last(facts.NodeRecovered, node_id="n0")
    assert recovered.outputs.uri == f"{DIR}/n0/data/0/outputs.pb"
    assert recovered.deck_uri == source.last(facts.NodeSucceeded, node_id="n0").deck_uri != ""
    assert (recovered.source.node_id, recovered.source.execution_id.name) == ("n0", NAME)


def test_a_failed_task_goes_on_at_its_checkpoint() -> None:
    source = started(Flow().task("n0", retries=1))
    source.fails("n0", recoverable=True)
    source.fails("n0", 1, recoverable=True)
    story = again(source)
    scheduled = story.last(facts.AttemptScheduled)
    assert scheduled.attempt == 0
    left = source.last(facts.AttemptScheduled, attempt=1).checkpoint_prefix
    assert scheduled.previous_checkpoint_prefix == left != ""
    assert scheduled.checkpoint_prefix != left


def test_other_inputs_run_everything() -> None:
    story = failed_chain().recovered(inputs={"x": 11})
    story.start()
    assert not story.has(facts.NodeRecovered)
    story.succeeds("n0", outputs={"o0": 11})
    # n0 came out as it had before: what follows is the same.
    assert story.phases()["n1"] == "RECOVERED"


def test_lost_outputs_are_made_again() -> None:
    source = failed_chain()
    source.lost[source.last(facts.NodeSucceeded, node_id="n1").outputs.uri] = "it does not exist"
    story = again(source)
    assert (story.phases()["n0"], story.phases()["n1"]) == ("RECOVERED", "RUNNING")
    story.succeeds("n1", outputs={"o0": 12})
    assert story.phases()["n2"] == "RUNNING"


def test_a_succeeded_execution_is_reused_as_a_whole() -> None:
    source = started(Flow().task("n0", {"a": INPUT}).returns(o0=From("n0")))
    source.succeeds("n0", outputs={"o0": 5})
    story = again(source)
    assert (story.phase, story.outputs()) == ("SUCCEEDED", {"o0": 5})
    assert not story.has(facts.AttemptScheduled)


def test_what_still_runs_there_runs_here_too() -> None:
    source = started(chain())
    source.succeeds("n0", outputs={"o0": 11})
    story = again(source)
    assert (story.phases()["n0"], story.phases()["n1"]) == ("RECOVERED", "RUNNING")


def test_skipped_and_aborted_nodes_run() -> None:
    source = started(Flow().task("n0").task("n1").task("n2", after=["n0"]).fails_after())
    source.fails("n0")
    source.terminate()
    source.sees("n1", "KILLED")
    story = again(source)
    assert {node_id: phase for node_id, phase in story.phases().items() if node_id != "start-node"} == {
        "n0": "RUNNING",
        "n1": "RUNNING",
    }


def test_recovering_what_was_recovered() -> None:
    second = again(failed_chain())
    second.succeeds("n2", outputs={"o0": 13})
    second.fails("n3")
    third = again(second)
    assert [third.phases()[f"n{i}"] for i in range(4)] == ["RECOVERED", "RECOVERED", "RECOVERED", "RUNNING"]
    # Where they ran, not where they were reused.
    assert third.last(facts.NodeRecovered, node_id="n0").source.execution_id.name == NAME
    assert third.last(facts.NodeRecovered, node_id="n2").source.execution_id.name == AGAIN


def test_recovering_what_never_came_far() -> None:
    """The second execution was aborted before it began: the first one's nodes are still to be had."""
    second = failed_chain().recovered()
    second.terminate()
    third = again(second)
    assert (third.phases()["n1"], third.phases()["n2"]) == ("RECOVERED", "RUNNING")


def test_a_recovered_node_takes_no_place() -> None:
    flow = Flow().task("n0").task("n1").task("n2")
    source = started(flow)
    source.succeeds("n0")
    source.succeeds("n1")
    source.fails("n2")
    story = again(source, parallelism=1)
    assert story.phases() == {"start-node": "SUCCEEDED", "n0": "RECOVERED", "n1": "RECOVERED", "n2": "RUNNING"}


def test_a_plan_that_is_lost_ends_the_execution() -> None:
    story = failed_chain().recovered()
    assert story.state is not None
    uri = story.state.created.recovery.uri
    del story.blobs[uri]
    context = engine.Context(story.now, story.program, {}, story.settings, {uri: "it does not exist"})
    with pytest.raises(engine.NeedData) as needed:
        engine.decide(story.state, engine.StartExecution(), context)
    inputs = {uri: LiteralMap.FromString(story.blobs[uri]) for uri in needed.value.uris}
    context = engine.Context(story.now, story.program, inputs, story.settings, {uri: "it does not exist"})
    decision = engine.decide(story.state, engine.StartExecution(), context)
    assert told(decision.facts[-1]) == "ExecutionFailed BindingResolutionFailure"


# ---------------------------------------------------------------------------------------------------- inside others


def test_nodes_of_a_failed_sub_workflow_are_recovered_one_by_one() -> None:
    inner = Flow("inner").task("n0", {"a": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1"))
    source = started(Flow().sub("n0", inner, {"x": INPUT}).returns(o0=From("n0")))
    source.succeeds("n0-0-n0", outputs={"o0": 11})
    source.fails("n0-0-n1")
    story = again(source)
    phases = story.phases()
    assert (phases["n0"], phases["n0-0-n0"], phases["n0-0-n1"]) == ("RUNNING", "RECOVERED", "RUNNING")
    story.succeeds("n0-0-n1", outputs={"o0": 12})
    assert story.outputs() == {"o0": 12}


def test_a_sub_workflow_that_succeeded_is_reused_as_a_whole() -> None:
    inner = Flow("inner").task("n0", {"a": INPUT}).returns(o0=From("n0"))
    source = started(Flow().sub("n0", inner, {"x": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1")))
    source.succeeds("n0-0-n0", outputs={"o0": 11})
    source.fails("n1")
    assert again(source).phases() == {"start-node": "SUCCEEDED", "n0": "RECOVERED", "n1": "RUNNING"}


def test_paths_do_not_depend_on_attempts() -> None:
    """The sub-workflow's second attempt got further than its first; the recovered one begins with attempt 0 again."""
    inner = Flow("inner").task("n0").task("n1", {"a": From("n0")})
    source = started(Flow().sub("n0", inner, {}, timeout=60, node_retries=1))
    source.fire("n0/0/attempt")
    source.sees("n0-0-n0", "KILLED")
    source.succeeds("n0-1-n0", outputs={"o0": 1})
    source.fails("n0-1-n1")
    story = again(source)
    assert (story.phases()["n0-0-n0"], story.phases()["n0-0-n1"]) == ("RECOVERED", "RUNNING")


def test_the_arm_of_a_failed_branch_is_recovered() -> None:
    inner = Flow("inner").task("n0").task("n1", after=["n0"])
    arm = Flow("arm").sub("n0", inner)
    source = started(Flow().branch("n0", (when(INPUT, "GT", 5), arm), otherwise="no"))
    source.succeeds(
        next(
            n
            for n in source.phases()
            if source.node(n).spec_node_id == "n0" and source.node(n).parent_id and source.node(n).kind == facts.TASK
        )
    )
    failing = next(n for n in source.phases() if source.node(n).spec_node_id == "n1")
    source.fails(failing)
    story = again(source)
    assert (story.phases()["n0"], story.phases()[failing]) == ("RUNNING", "RUNNING")
    assert "RECOVERED" in story.phases().values()


def test_a_gate_that_was_opened_stays_open() -> None:
    source = started(Flow().waits("n0", "s").approves("n1", "ok", From("n0")).task("n2", {"a": From("n1")}))
    source.sets("s", 3)
    source.sets("ok", True)
    source.fails("n2")
    story = again(source)
    assert (story.phases()["n0"], story.phases()["n1"], story.phases()["n2"]) == ("RECOVERED", "RECOVERED", "RUNNING")


def test_a_failure_is_handled_again() -> None:
    flow = Flow().task("n0").task("fn0").on_failure()
    source = started(flow)
    source.fails("n0")
    source.succeeds("fn0")
    story = again(source)
    story.fails("n0")
    assert story.phases()["fn0"] == "RUNNING"


# ---------------------------------------------------------------------------------------------------- dynamic nodes


def asked() -> Flow:
    return Flow("asked").task("dn0", {"a": 7}).task("dn1", {"a": From("dn0")}).returns(o0=From("dn1"))


def failed_dynamic(**options: object) -> Story:
    source = started(Flow().task("n0", {"a": INPUT}, **options).returns(o0=From("n0")))  # type: ignore[arg-type]
    source.asks("n0", asked())
    source.succeeds("n0-0-dn0", outputs={"o0": 8})
    source.fails("n0-0-dn1")
    return source


def test_a_dynamic_task_need_not_ask_again() -> None:
    source = failed_dynamic()
    story = source.recovered()
    assert story.start()[3:] == [
        "NodeQueued n0", "NodeStarted n0", "DynamicPlanned n0#0",
        "NodeQueued n0-0-start-node", "NodeSucceeded n0-0-start-node",
        "NodeQueued n0-0-dn0", "NodeRecovered n0-0-dn0",
        "NodeQueued n0-0-dn1", "AttemptScheduled n0-0-dn1#0", "NodeStarted n0-0-dn1",
    ]  # fmt: skip
    plan = story.last(facts.DynamicPlanned)
    assert plan.closure == source.last(facts.DynamicPlanned).closure
    story.succeeds("n0-0-dn1", outputs={"o0": 9})
    assert story.outputs() == {"o0": 9}


def test_a_dynamic_task_with_other_inputs_asks_again_and_nothing_it_asked_for_is_reused() -> None:
    story = failed_dynamic().recovered(inputs={"x": 11})
    story.start()
    assert story.has(facts.AttemptScheduled, node_id="n0")
    story.asks("n0", asked())
    assert (story.phases()["n0-0-dn0"], story.has(facts.NodeRecovered)) == ("RUNNING", False)


def test_a_dynamic_task_whose_plan_is_lost_asks_again() -> None:
    source = failed_dynamic()
    source.lost[source.last(facts.DynamicPlanned).closure.uri] = "it does not exist"
    story = again(source)
    assert story.has(facts.AttemptScheduled, node_id="n0")


def test_a_dynamic_node_that_succeeded_keeps_what_clients_see_of_it() -> None:
    source = started(Flow().task("n0").task("n1", after=["n0"]))
    source.asks("n0", asked())
    source.succeeds("n0-0-dn0")
    source.succeeds("n0-0-dn1")
    source.fails("n1")
    recovered = again(source).last(facts.NodeRecovered, node_id="n0")
    assert recovered.plan == source.last(facts.DynamicPlanned)
    # And so on, from one recovery to the next.
    second = again(source)
    second.fails("n1")
    assert again(second).last(facts.NodeRecovered, node_id="n0").plan == source.last(facts.DynamicPlanned)


def test_an_earlier_plan_of_a_dynamic_node_does_not_count() -> None:
    source = started(Flow().task("n0", timeout=60, node_retries=1, retries=1))
    source.asks("n0", asked())
    source.succeeds("n0-0-dn0")
    source.fire("n0/0/attempt")
    source.sees("n0-0-dn1", "KILLED")
    source.fails("n0", 1)
    story = again(source)
    assert story.has(facts.AttemptScheduled, node_id="n0")
    story.asks("n0", asked())
    assert not story.has(facts.NodeRecovered)


def test_an_earlier_executions_plan_gives_way_to_the_one_that_was_made_anew() -> None:
    source = failed_dynamic()
    source.lost[source.last(facts.DynamicPlanned).closure.uri] = "it does not exist"
    second = again(source)
    second.asks("n0", Flow("asked").task("dn0", {"a": 7}).task("dn2").returns(o0=From("dn2")))
    second.terminate()
    for node_id in ("n0-0-dn0", "n0-0-dn2"):
        second.sees(node_id, "KILLED")
    third = again(second)
    assert third.last(facts.DynamicPlanned).closure == second.last(facts.DynamicPlanned).closure
    # It succeeded in the first execution, but as a node of another plan.
    assert third.phases()["n0-0-dn0"] == "RUNNING"


def test_a_recovered_plan_waits_for_a_place_like_its_task() -> None:
    source = started(Flow().task("n0").task("n1"))
    source.asks("n1", asked())
    source.fails("n1-0-dn0")
    source.sees("n0", "KILLED")
    story = again(source, parallelism=1)
    assert story.phases()["n1"] == "QUEUED"
    story.succeeds("n0")
    assert (story.phases()["n1"], story.phases()["n1-0-dn0"]) == ("RUNNING", "RUNNING")
    assert story.state is not None
    assert not story.state.waiting


# ---------------------------------------------------------------------------------------------------- arrays


def test_elements_are_recovered_by_their_index() -> None:
    source = started(Flow().map("n0", {"a": [1, 2, 3]}).returns(o0=From("n0")))
    source.succeeds("n0-0-n0", outputs={"o0": 10})
    source.succeeds("n0-0-n2", outputs={"o0": 30})
    source.fails("n0-0-n1")
    story = again(source)
    assert [story.phases()[f"n0-0-n{i}"] for i in range(3)] == ["RECOVERED", "RUNNING", "RECOVERED"]
    story.succeeds("n0-0-n1", outputs={"o0": 20})
    assert story.outputs() == {"o0": [10, 20, 30]}


def test_an_element_whose_outputs_are_gone_runs() -> None:
    source = started(Flow().map("n0", {"a": [1, 2, 3]}).returns(o0=From("n0")))
    for index in range(2):
        source.succeeds(f"n0-0-n{index}", outputs={"o0": index})
    source.fails("n0-0-n2")
    source.lost[source.last(facts.NodeSucceeded, node_id="n0-0-n1").outputs.uri] = "it does not exist"
    story = again(source, parallelism=1)
    assert [story.phases()[f"n0-0-n{i}"] for i in range(3)] == ["RECOVERED", "RUNNING", "RUNNING"]


def test_elements_of_another_list_run() -> None:
    flow = Flow().task("m", {"a": INPUT}).map("n0", {"a": From("m")}).returns(o0=From("n0"))
    source = started(flow)
    source.succeeds("m", outputs={"o0": [1, 2]})
    source.succeeds("n0-0-n0")
    source.fails("n0-0-n1")
    story = source.recovered(inputs={"x": 11})
    story.start()
    story.succeeds("m", outputs={"o0": [5, 6]})
    assert [story.phases()[f"n0-0-n{i}"] for i in range(2)] == ["RUNNING", "RUNNING"]


def test_an_array_of_which_all_elements_are_reused_ends_at_once() -> None:
    source = started(Flow().map("n0", {"a": [1, 2]}).returns(o0=From("n0")))
    source.succeeds("n0-0-n0", outputs={"o0": 10})
    source.terminate()
    source.succeeds("n0-0-n1", outputs={"o0": 20})
    story = again(source)
    assert story.phases()["n0-0-n1"] == "RUNNING"
    story.succeeds("n0-0-n1", outputs={"o0": 20})
    assert story.outputs() == {"o0": [10, 20]}


# ---------------------------------------------------------------------------------------------------- launch plans


def test_a_failed_child_is_recovered() -> None:
    source = started(Flow().launches("n0", {"a": INPUT}).returns(o0=From("n0")))
    source.child_fails("n0")
    story = again(source)
    asked_for = story.last(facts.ChildExecutionRequested)
    assert asked_for.recovers == source.last(facts.ChildExecutionRequested).execution_id
    assert asked_for.execution_id != asked_for.recovers
    story.child_succeeds("n0", outputs={"o0": 2})
    assert story.outputs() == {"o0": 2}


def test_a_child_that_succeeded_is_reused() -> None:
    source = started(Flow().launches("n0", {"a": INPUT}).task("n1", {"a": From("n0")}))
    source.child_succeeds("n0", outputs={"o0": 2})
    source.fails("n1")
    recovered = again(source).last(facts.NodeRecovered, node_id="n0")
    assert recovered.child == source.last(facts.ChildExecutionRequested).execution_id


def test_a_further_child_begins_anew() -> None:
    source = started(Flow().launches("n0", {"a": INPUT}, timeout=60, node_retries=1))
    source.child_fails("n0")
    story = again(source)
    story.fire("n0/0/attempt")
    story.child_aborted("n0")
    assert not story.last(facts.ChildExecutionRequested).HasField("recovers")


# ---------------------------------------------------------------------------------------------------- plans


def test_a_plan_tells_what_is_reused_and_why_not() -> None:
    plan = engine.recovery_plan(failed_chain().history)
    found = {node.path: (NodeExecution.Phase.Name(node.phase), engine.is_reused(node)) for node in plan.nodes}
    assert found == {"n0": ("SUCCEEDED", True), "n1": ("SUCCEEDED", True), "n2": ("FAILED", False)}
    assert [node.error.code for node in plan.nodes][-1] == "USER:Boom"


def test_elements_that_the_engine_ran_leave_nothing() -> None:
    flow = Flow().map("n0", {"a": [1, 2]}, task_type="echo").task("n1", after=["n0"])
    source = started(flow)
    source.fails("n1")
    assert [node.path for node in engine.recovery_plan(source.history).nodes] == ["n0", "n1"]
