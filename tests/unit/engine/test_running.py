"""Nodes start when what they wait for has ended, with the values bound to them."""

import pytest

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from tests.unit.engine.story import INPUT, WORKFLOW_DIR, Flow, From, Story, literal_map


def test_chain_of_echoes_is_decided_at_once() -> None:
    flow = Flow().echo("n0").echo("n1", From("n0")).returns(o0=From("n1"))
    story = Story(flow, {"x": 7})
    assert story.start() == [
        "ExecutionStarted",
        "NodeQueued start-node",
        "NodeSucceeded start-node",
        "NodeQueued n0",
        "AttemptScheduled n0#0",
        "AttemptSucceeded n0#0",
        "NodeSucceeded n0",
        "NodeQueued n1",
        "AttemptScheduled n1#0",
        "AttemptSucceeded n1#0",
        "NodeSucceeded n1",
        "NodeQueued end-node",
        "NodeSucceeded end-node",
        "ExecutionSucceeded",
    ]
    assert story.outputs() == {"o0": 7}
    assert story.last(facts.AttemptScheduled).in_engine
    assert story.last(facts.ExecutionSucceeded).outputs.uri == f"{WORKFLOW_DIR}/end-node/data/0/outputs.pb"


def test_task_runs_through_its_phases() -> None:
    story = Story(Flow().task("n0", {"a": INPUT}).returns(o0=From("n0")), {"x": 7})
    assert story.start()[-3:] == ["NodeQueued n0", "AttemptScheduled n0#0", "NodeStarted n0"]
    assert story.sees("n0", "QUEUED", reason="submitted") == ["AttemptProgressed n0#0 QUEUED"]
    assert story.sees("n0", "INITIALIZING") == ["AttemptProgressed n0#0 INITIALIZING"]
    assert story.sees("n0", "RUNNING") == ["AttemptProgressed n0#0 RUNNING"]
    assert story.succeeds("n0", outputs={"o0": 8}) == [
        "AttemptSucceeded n0#0",
        "NodeSucceeded n0",
        "NodeQueued end-node",
        "NodeSucceeded end-node",
        "ExecutionSucceeded",
    ]
    assert story.outputs() == {"o0": 8}
    scheduled = story.last(facts.AttemptScheduled)
    assert story.data(scheduled.inputs) == {"a": 7}
    assert scheduled.generated_name == "akmhktsb8cz8hwmv4ldf-n0-0"
    assert scheduled.output_prefix == f"{WORKFLOW_DIR}/n0/data/0"
    assert scheduled.raw_output_prefix == "s3://bucket/data/v9/akmhktsb8cz8hwmv4ldf-n0-0"
    assert scheduled.checkpoint_prefix == "s3://bucket/data/v9/akmhktsb8cz8hwmv4ldf-n0-0/_flytecheckpoints"
    assert scheduled.previous_checkpoint_prefix == ""


def test_starting_again_changes_nothing() -> None:
    story = Story(Flow().task("n0"))
    story.start()
    assert story.start() == []


def test_creating_again_is_refused() -> None:
    story = Story(Flow().task("n0"))
    assert story.state is not None
    with pytest.raises(engine.Refused) as refused:
        story.does(engine.CreateExecution(story.state.created))
    assert refused.value.reason == engine.Refusal.ALREADY_EXISTS


def test_workflow_without_nodes_returns_its_inputs() -> None:
    story = Story(Flow().returns(o0=INPUT, o1=3), {"x": 7})
    story.start()
    assert story.outputs() == {"o0": 7, "o1": 3}


def test_workflow_without_outputs_succeeds_with_an_empty_map() -> None:
    story = Story(Flow().task("n0", outputs=()))
    story.start()
    story.sees("n0", "EXITED")
    assert story.phase == "SUCCEEDED"
    assert story.outputs() == {}


def test_task_without_outputs_still_names_where_they_belong() -> None:
    story = Story(Flow().task("n0", outputs=()))
    story.start()
    story.sees("n0", "EXITED")
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"


def test_order_without_data_is_kept() -> None:
    story = Story(Flow().task("n0").task("n1", after=["n0"]))
    story.start()
    assert "n1" not in story.phases()
    assert "NodeQueued n1" in story.succeeds("n0")


def test_node_waits_for_all_upstream_nodes() -> None:
    flow = Flow().task("a").task("b").task("c").task("d", {"x": [From("a"), From("b"), From("c")]})
    story = Story(flow)
    story.start()
    story.succeeds("c", outputs={"o0": 3})
    story.succeeds("a", outputs={"o0": 1})
    assert "d" not in story.phases()
    story.succeeds("b", outputs={"o0": 2})
    assert story.data(story.last(facts.NodeQueued, node_id="d").inputs) == {"x": [1, 2, 3]}


def test_start_and_end_nodes_are_nodes() -> None:
    story = Story(Flow().echo("n0").returns(o0=From("n0")), {"x": 7})
    story.start()
    start = story.last(facts.NodeQueued, node_id="start-node")
    assert (start.kind, start.HasField("inputs")) == (facts.START, False)
    assert story.data(story.last(facts.NodeSucceeded, node_id="start-node").outputs) == {"x": 7}
    end = story.last(facts.NodeQueued, node_id="end-node")
    assert end.inputs.uri == f"{WORKFLOW_DIR}/end-node/data/inputs.pb"
    assert not story.last(facts.NodeSucceeded, node_id="end-node").HasField("outputs")


def test_max_parallelism_lets_the_longest_waiting_start_first() -> None:
    flow = Flow()
    for index in range(4):
        flow.task(f"n{index}")
    story = Story(flow, parallelism=2)
    assert [line for line in story.start() if line.startswith("AttemptScheduled")] == [
        "AttemptScheduled n0#0",
        "AttemptScheduled n1#0",
    ]
    assert story.phases()["n2"] == "QUEUED"
    assert story.succeeds("n1") == [
        "AttemptSucceeded n1#0",
        "NodeSucceeded n1",
        "AttemptScheduled n2#0",
        "NodeStarted n2",
    ]
    assert story.fails("n0", recoverable=True, kind=2) == [
        "AttemptFailed n0#0 USER:Boom",
        "RetryScheduled n0#1",
        "AttemptScheduled n0#1",
    ]
    assert story.phases()["n3"] == "QUEUED"


def test_echo_needs_no_place_among_the_running() -> None:
    story = Story(Flow().task("n0").echo("n1"), {"x": 1}, parallelism=1)
    story.start()
    assert story.phases()["n1"] == "SUCCEEDED"


def test_echo_with_several_variables_maps_them_in_order() -> None:
    flow = (
        Flow()
        .task("n0", {"b": 2, "a": 1}, task_type="echo", outputs=("o0", "o1"))
        .returns(x=From("n0", "o0"), y=From("n0", "o1"))
    )
    story = Story(flow)
    story.start()
    assert story.outputs() == {"x": 1, "y": 2}


@pytest.mark.parametrize("name", ["o²", "²", "١", "o①2"])
def test_echo_orders_outputs_of_any_name(name: str) -> None:
    story = Story(Flow().task("n0", {"a": 1, "b": 2}, task_type="echo", outputs=(name, "o0")))
    story.start()
    assert story.phase == "SUCCEEDED"


def test_echo_with_other_outputs_than_inputs_fails() -> None:
    story = Story(Flow().task("n0", {"a": 1}, task_type="echo", outputs=("o0", "o1")))
    story.start()
    assert story.error().code == "BadTaskSpecification"


def test_execution_configuration_reaches_the_attempt() -> None:
    def change(created: facts.ExecutionCreated) -> None:
        created.config.envs["A"] = "1"
        created.config.labels["l"] = "2"
        created.config.annotations["n"] = "3"
        created.spec.security_context.run_as.k8s_service_account = "me"

    story = Story(Flow().task("n0"), change=change)
    story.start()
    scheduled = story.last(facts.AttemptScheduled)
    assert dict(scheduled.envs) == {"A": "1"}
    assert dict(scheduled.labels) == {"l": "2"}
    assert dict(scheduled.annotations) == {"n": "3"}
    assert scheduled.security_context.run_as.k8s_service_account == "me"
    assert scheduled.execution_id.name == "akmhktsb8cz8hwmv4ldf"
    assert scheduled.workflow_id.name == "main"
    assert scheduled.task_id.name == "main.n0"
    assert scheduled.task_type == "python-task"
    assert scheduled.closure.uri == "s3://bucket/closures/1"


def test_overrides_of_the_node_reach_the_attempt() -> None:
    closure = Flow().task("n0").closure()
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.task_node.overrides.container_image = "other:1"
    node.task_node.overrides.pod_template.primary_container_name = "main"
    node.task_node.overrides.resources.requests.add(name=1, value="2")
    node.task_node.overrides.extended_resources.gpu_accelerator.device = "a100"
    story = Story(closure)
    story.start()
    scheduled = story.last(facts.AttemptScheduled)
    assert scheduled.container_image == "other:1"
    assert scheduled.pod_template.primary_container_name == "main"
    assert scheduled.resources.requests[0].value == "2"
    assert scheduled.extended_resources.gpu_accelerator.device == "a100"


def test_state_may_change_whatever_the_phase() -> None:
    story = Story(Flow())
    assert story.does(engine.ChangeState(1, "me")) == ["ExecutionStateChanged"]
    story.start()
    assert story.phase == "SUCCEEDED"
    assert story.does(engine.ChangeState(0, "me")) == ["ExecutionStateChanged"]


def test_commands_to_nothing() -> None:
    program = engine.Program.parse(Flow().closure())
    context = engine.Context(Story(Flow()).now, program)
    assert engine.decide(None, engine.StartExecution(), context).facts == ()
    assert engine.decide(None, engine.FireTimer("x"), context).facts == ()
    for command in (engine.TerminateExecution("", ""), engine.ChangeState(1, "")):
        with pytest.raises(engine.Refused) as refused:
            engine.decide(None, command, context)
        assert refused.value.reason == engine.Refusal.NOT_FOUND


def test_missing_data_is_asked_for_at_once() -> None:
    flow = Flow().task("a").task("b").task("c", {"x": [From("a"), From("b")]})
    story = Story(flow)
    story.start()
    story.succeeds("a")
    # The shell's cache is empty in every story, so all that is missing must be named together.
    result = engine.AttemptResult(outputs=story.put(f"{story.output_prefix('b')}/outputs.pb", literal_map({"o0": 1})))
    command = engine.ObserveAttempt(story.observation("b", "EXITED"), result)
    with pytest.raises(engine.NeedData) as need:
        engine.decide(story.state, command, engine.Context(story.now, story.program))
    assert sorted(need.value.uris) == [f"{WORKFLOW_DIR}/{node}/data/0/outputs.pb" for node in ("a", "b")]
