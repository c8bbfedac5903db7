"""Arrays: how many elements, which of them run, what their ends mean, what comes out."""

from typing import Any

import pytest
from flyteidl.core.execution_pb2 import ExecutionError, TaskExecution
from flyteidl.core.literals_pb2 import LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from services.execution.engine import arrays
from services.execution.engine.outcomes import MESSAGE_LIMIT
from services.execution.engine.turn import Turn
from tests.unit.engine.story import FAIL_AFTER, INPUT, WORKFLOW_DIR, Flow, From, Story, literal_map, plain_map, told


def started(flow: Flow, xs: Any = (10, 11, 12), **options: Any) -> Story:
    story = Story(flow.returns(o0=From("n0")), {"x": list(xs) if isinstance(xs, tuple) else xs}, **options)
    story.start()
    return story


def mapped(**options: Any) -> Flow:
    return Flow().map("n0", {"a": INPUT}, **options)


def element(index: int, attempt: int = 0) -> str:
    return f"n0-{attempt}-n{index}"


def running(story: Story) -> list[int]:
    assert story.state is not None
    return [n.element for n in story.state.open_nodes() if n.element is not None]


# -- how many


def test_each_element_is_an_attempt_of_its_own() -> None:
    story = started(mapped(), (10, 11))
    assert [line for line in map(told, story.history) if "n0" in line] == [
        "NodeQueued n0",
        "NodeStarted n0",
        "ArrayPlanned n0#0",
        "NodeQueued n0-0-n0",
        "NodeQueued n0-0-n1",
        "AttemptScheduled n0-0-n0#0",
        "NodeStarted n0-0-n0",
        "AttemptScheduled n0-0-n1#0",
        "NodeStarted n0-0-n1",
    ]
    planned = story.last(facts.ArrayPlanned)
    assert (planned.size, planned.min_successes, planned.parallelism) == (2, 2, 0)
    assert planned.task_id.name == "main.n0"
    story.succeeds(element(1), outputs={"o0": 111})
    assert story.succeeds(element(0), outputs={"o0": 110})[2:] == [
        "ArrayEnded n0#0",
        "NodeSucceeded n0",
        "NodeQueued end-node",
        "NodeSucceeded end-node",
        "ExecutionSucceeded",
    ]
    assert story.outputs() == {"o0": [110, 111]}
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"


def test_an_element_reads_the_lists_and_is_told_its_index() -> None:
    story = started(mapped())
    whole = story.last(facts.NodeQueued, node_id="n0")
    assert not story.last(facts.NodeQueued, node_id=element(2)).HasField("inputs")
    scheduled = story.last(facts.AttemptScheduled, node_id=element(2))
    assert scheduled.inputs == whole.inputs
    assert scheduled.output_prefix == f"{WORKFLOW_DIR}/n0/data/0/2/0"
    assert scheduled.generated_name == "akmhktsb8cz8hwmv4ldf-n0-0-n2-0"
    assert dict(scheduled.envs) == {
        "BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX",
        "BATCH_JOB_ARRAY_INDEX_OFFSET": "0",
        "FLYTE_K8S_ARRAY_INDEX": "2",
    }


def test_only_what_must_be_read_by_others_is_written_for_each_element() -> None:
    story = started(mapped(original=True))
    scheduled = story.last(facts.AttemptScheduled, node_id=element(1))
    assert scheduled.inputs.uri == f"{WORKFLOW_DIR}/n0/data/0/1/inputs.pb"
    assert story.data(scheduled.inputs) == {"a": 11}


def test_bound_inputs_are_the_same_for_all() -> None:
    flow = Flow().map("n0", {"a": INPUT, "b": [1, 2, 3, 4], "c": 7}, bound=["b", "c"], original=True)
    story = started(flow, (10, 11))
    inputs = [story.data(story.last(facts.AttemptScheduled, node_id=element(i)).inputs) for i in range(2)]
    assert inputs == [{"a": 10, "b": [1, 2, 3, 4], "c": 7}, {"a": 11, "b": [1, 2, 3, 4], "c": 7}]
    assert story.node(element(1)).inputs is not None
    assert plain_map(arrays.inputs_of(turn_of(story), story.node(element(0)))) == inputs[0]


def turn_of(story: Story) -> Turn:
    assert story.state is not None
    data = {uri: LiteralMap.FromString(data) for uri, data in story.blobs.items() if uri.endswith("inputs.pb")}
    return Turn(story.state, engine.Context(story.now, story.program, data))


def test_nothing_mapped_over_is_one_element() -> None:
    story = started(Flow().map("n0", {"a": INPUT}, bound=["a"]), 5)
    assert running(story) == [0]
    story.succeeds(element(0), outputs={"o0": 1})
    assert story.outputs() == {"o0": [1]}


def test_an_empty_list_gives_an_empty_list() -> None:
    story = started(mapped(array={"min_successes": 2}), ())
    assert story.phase == "SUCCEEDED"
    assert story.outputs() == {"o0": []}
    assert story.last(facts.ArrayPlanned).size == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": INPUT, "b": [1, 2]}, "different lengths: [a] has 3, [b] has 2"),
        ({"a": 1}, "none of the inputs"),
    ],
)
def test_lists_that_do_not_fit_fail_the_node(inputs: dict[str, Any], message: str) -> None:
    story = started(Flow().map("n0", inputs))
    error = story.last(facts.NodeFailed, node_id="n0").error
    assert (error.code, error.kind) == ("InvalidArrayLength", ExecutionError.USER)
    assert message in error.message
    assert not story.has(facts.ArrayPlanned)
    assert story.phase == "FAILED"


def test_more_successes_asked_for_than_there_are_elements() -> None:
    story = started(mapped(array={"min_successes": 4}))
    assert story.error().code == "InvalidArrayLength"


def test_a_task_without_outputs_gives_none() -> None:
    flow = Flow().map("n0", {"a": INPUT}, outputs=())
    story = Story(flow, {"x": [1, 2]})
    story.start()
    story.succeeds(element(0), outputs={})
    story.succeeds(element(1), outputs={})
    assert story.phase == "SUCCEEDED"
    assert story.data(story.last(facts.NodeSucceeded, node_id="n0").outputs) == {}


# -- how many at once


def test_no_more_elements_run_than_allowed_and_they_start_in_order() -> None:
    story = started(mapped(array={"parallelism": 2}), tuple(range(5)))
    assert running(story) == [0, 1]
    story.succeeds(element(1))
    assert running(story) == [0, 2]
    story.succeeds(element(0))
    assert running(story) == [2, 3]


def test_an_element_between_two_attempts_keeps_its_place() -> None:
    story = started(mapped(array={"parallelism": 1}, retries=1), (1, 2))
    story.fails(element(0), recoverable=True)
    assert running(story) == [0]
    story.succeeds(element(0), 1)
    assert running(story) == [1]


def test_the_array_takes_one_place_for_all_its_elements() -> None:
    flow = Flow().map("n0", {"a": INPUT}).task("n1", {"a": 1})
    story = started(flow, parallelism=1)
    assert running(story) == [0, 1, 2]
    assert story.state is not None
    assert story.state.slots == 1
    assert not story.has(facts.AttemptScheduled, node_id="n1")
    for index in range(3):
        story.succeeds(element(index))
    assert story.has(facts.AttemptScheduled, node_id="n1")


# -- what an element's end means


def test_the_first_failure_is_one_too_many_by_default() -> None:
    story = started(mapped(array={"parallelism": 2}))
    assert story.fails(element(1), message="bad 11") == [
        "AttemptFailed n0-0-n1#0 USER:Boom",
        "NodeFailed n0-0-n1 USER:Boom",
        "NodeFailing n0 USER:Boom",
        "AttemptAborting n0-0-n0#0",
    ]
    assert story.last(facts.AttemptAborting).reason == "too many elements failed"
    assert story.sees(element(0), "KILLED") == [
        "AttemptAborted n0-0-n0#0",
        "NodeAborted n0-0-n0 NodeAborted",
        "ArrayEnded n0#0 USER:Boom",
        "NodeFailed n0 USER:Boom",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]
    assert story.error().message == "[1]: bad 11"
    assert story.error().kind == ExecutionError.USER
    assert story.last(facts.ArrayEnded).phase == TaskExecution.FAILED
    assert element(2) not in story.phases()


@pytest.mark.parametrize(("criterion", "allowed"), [({"min_success_ratio": 0.6}, 2), ({"min_successes": 4}, 1)])
def test_failures_are_borne_while_enough_can_succeed(criterion: dict[str, Any], allowed: int) -> None:
    story = started(mapped(array=criterion), tuple(range(5)))
    assert story.last(facts.ArrayPlanned).min_successes == 5 - allowed
    for index in range(allowed):
        assert len(story.fails(element(index))) == 2
    for index in range(allowed, 5):
        story.succeeds(element(index), outputs={"o0": index})
    assert story.outputs() == {"o0": [None] * allowed + list(range(allowed, 5))}


def test_failures_are_told_by_their_messages() -> None:
    story = started(mapped(array={"min_success_ratio": 0.4}), tuple(range(7)))
    for index in (0, 1, 5):
        story.fails(element(index), message="same")
    story.fails(element(3), message="other")
    story.fails(element(2), message="same")
    for index in (4, 6):
        story.sees(element(index), "KILLED")
    assert story.error().message == "[0-2][5]: same\n[3]: other"


def test_the_message_is_bounded() -> None:
    many = arrays.grouped((f"{number}" * 2000, [number]) for number in range(200))
    assert len(many.encode()) <= MESSAGE_LIMIT
    assert many.endswith("... and many more.")
    one = arrays.grouped([("ä" * MESSAGE_LIMIT, [1, 2])])
    assert len(one.encode()) <= MESSAGE_LIMIT
    assert one.startswith("[1-2]: ä")


def test_all_elements_may_be_asked_to_run_to_their_ends() -> None:
    story = started(mapped(array={"run_all_sub_nodes": True, "parallelism": 1}))
    story.fails(element(0))
    story.succeeds(element(1))
    assert story.succeeds(element(2))[2:] == [
        "NodeFailing n0 USER:Boom",
        "ArrayEnded n0#0 USER:Boom",
        "NodeFailed n0 USER:Boom",
        "ExecutionFailing USER:Boom",
        "ExecutionFailed USER:Boom",
    ]


def test_an_element_retries_by_itself() -> None:
    story = started(mapped(retries=1))
    story.fails(element(1), recoverable=True)
    assert story.last(facts.AttemptScheduled, node_id=element(1)).output_prefix == f"{WORKFLOW_DIR}/n0/data/0/1/1"
    assert story.fails(element(1), 1, recoverable=True)[1:3] == [
        "NodeFailed n0-0-n1 RetriesExhausted|USER:Boom",
        "NodeFailing n0 RetriesExhausted|USER:Boom",
    ]


def test_other_nodes_go_on_after_a_failed_array_where_the_workflow_says_so() -> None:
    flow = Flow().map("n0", {"a": INPUT}).task("n1", {"a": 1}).fails_after()
    assert flow.metadata.on_failure == FAIL_AFTER
    story = started(flow, (1,))
    story.fails(element(0))
    assert story.phase == "RUNNING"
    story.succeeds("n1")
    assert story.phase == "FAILED"
    assert story.error().message == "[0]: boom"


def test_outputs_that_are_not_at_hand_are_asked_for_together() -> None:
    story = started(mapped())
    for index in range(2):
        story.succeeds(element(index), outputs={"o0": index})
    prefix = story.output_prefix(element(2))
    last = engine.ObserveAttempt(
        story.observation(element(2), "EXITED"),
        engine.AttemptResult(
            outputs=story.put(f"{prefix}/outputs.pb", literal_map({"o0": 2})), literals=literal_map({"o0": 2})
        ),
    )
    with pytest.raises(engine.NeedData) as need:
        engine.decide(story.state, last, engine.Context(story.now, story.program))
    assert need.value.uris == tuple(f"{story.output_prefix(element(index))}/outputs.pb" for index in range(2))
    story.does(last)
    assert story.outputs() == {"o0": [0, 1, 2]}


# -- stopping


def test_abort_ends_the_elements_and_then_the_array() -> None:
    story = started(mapped(array={"parallelism": 2}))
    assert story.terminate() == ["AbortRequested", "AttemptAborting n0-0-n0#0", "AttemptAborting n0-0-n1#0"]
    story.sees(element(0), "KILLED")
    assert story.sees(element(1), "KILLED")[2:] == ["ArrayEnded n0#0", "NodeAborted n0 NodeAborted", "ExecutionAborted"]
    assert story.last(facts.ArrayEnded).phase == TaskExecution.ABORTED


def test_an_array_that_takes_too_long_starts_over_with_new_elements() -> None:
    story = started(mapped(timeout=8, node_retries=1), (1, 2))
    story.succeeds(element(0))
    story.fire("n0/0/attempt")
    assert story.sees(element(1), "KILLED")[2:] == [
        "ArrayEnded n0#0 TimeoutExpired",
        "RetryScheduled n0#1",
        "TimerSet n0/1/attempt",
        "ArrayPlanned n0#1",
        "NodeQueued n0-1-n0",
        "NodeQueued n0-1-n1",
        "AttemptScheduled n0-1-n0#0",
        "NodeStarted n0-1-n0",
        "AttemptScheduled n0-1-n1#0",
        "NodeStarted n0-1-n1",
    ]
    for index in range(2):
        story.succeeds(element(index, 1), outputs={"o0": index})
    assert story.outputs() == {"o0": [0, 1]}
    assert story.last(facts.NodeSucceeded, node_id="n0").outputs.uri == f"{WORKFLOW_DIR}/n0/data/1/outputs.pb"


def test_an_elements_time_limit_is_its_own() -> None:
    story = started(mapped(seconds=8, array={"min_success_ratio": 0.5}), (1, 2))
    story.fire(f"{element(0)}/0/attempt")
    story.sees(element(0), "KILLED")
    assert story.node(element(0)).phase.name == "FAILED"
    story.succeeds(element(1))
    assert story.outputs() == {"o0": [None, 1]}


# -- what else is mapped over


def test_echo_elements_run_at_once_and_write_only_the_whole() -> None:
    story = started(mapped(task_type="echo", array={"parallelism": 2}), tuple(range(20)))
    assert story.outputs() == {"o0": list(range(20))}
    below = f"{WORKFLOW_DIR}/n0/data/"
    assert sorted(uri.removeprefix(below) for uri in story.blobs if uri.startswith(below)) == [
        "0/outputs.pb",
        "inputs.pb",
    ]


def test_each_element_of_a_launch_plan_is_an_execution_with_inputs_of_its_own() -> None:
    story = started(mapped(launch_plan="lp", array={"parallelism": 2}))
    requested = [story.last(facts.ChildExecutionRequested, node_id=element(index)) for index in range(2)]
    assert [story.data(fact.inputs) for fact in requested] == [{"a": 10}, {"a": 11}]
    assert len({fact.execution_id.name for fact in requested}) == 2
    assert not story.has(facts.ChildExecutionRequested, node_id=element(2))
    assert story.last(facts.ArrayPlanned).task_id.name == "lp"
    for index in range(3):
        story.child_succeeds(element(index), outputs={"o0": index})
    assert story.outputs() == {"o0": [0, 1, 2]}


def test_an_empty_list_of_launch_plan_elements_gives_what_is_read_of_it() -> None:
    assert started(mapped(launch_plan="lp"), ()).outputs() == {"o0": []}


def test_a_failed_element_ends_the_executions_of_the_others() -> None:
    story = started(mapped(launch_plan="lp"), (1, 2))
    assert story.child_fails(element(0), message="bad")[-1] == "ChildExecutionAborting n0-0-n1#0"
    assert story.child_aborted(element(1))[2:4] == ["ArrayEnded n0#0 USER:Boom", "NodeFailed n0 USER:Boom"]
    assert story.error().message == "[0]: bad"


def test_arrays_run_inside_workflows() -> None:
    inner = Flow("inner").map("n0", {"a": INPUT}).returns(o0=From("n0"))
    story = started(Flow().sub("n0", inner, {"x": INPUT}), (1, 2))
    assert story.state is not None
    elements = [node.node_id for node in story.state.open_nodes() if node.element is not None]
    assert elements == ["n0-0-n0-0-n0", "n0-0-n0-0-n1"]
    for node_id in elements:
        story.succeeds(node_id, outputs={"o0": 3})
    assert story.outputs() == {"o0": [3, 3]}


def test_a_container_array_is_an_array_over_the_same_task() -> None:
    flow = Flow().map_task("n0", {"a": INPUT, "b": 5}, parallelism=1, min_success_ratio=0.5)
    story = started(flow, (1, 2))
    queued = story.last(facts.NodeQueued, node_id="n0")
    assert (queued.kind, queued.is_array_task) == (facts.ARRAY, True)
    scheduled = story.last(facts.AttemptScheduled, node_id=element(0))
    assert scheduled.task_type == "container_array"
    assert scheduled.output_prefix == f"{WORKFLOW_DIR}/n0/data/0/attempt-0"
    assert scheduled.envs["FLYTE_K8S_ARRAY_INDEX"] == "0"
    assert story.output_prefix(element(0)) == f"{scheduled.output_prefix}/0"
    story.fails(element(0))
    assert running(story) == [1]
    story.succeeds(element(1), outputs={"o0": 7})
    assert story.outputs() == {"o0": [None, 7]}


def test_a_container_array_of_the_first_version_has_its_size_in_the_template() -> None:
    story = started(Flow().map_task("n0", {"a": INPUT}, version=0, size=2), 1)
    assert running(story) == [0, 1]
    assert story.last(facts.ArrayPlanned).min_successes == 2


def test_ten_thousand_echo_elements_cost_as_much_each_as_a_thousand() -> None:
    """Counted in facts; what a fact costs is the same whatever the state holds."""
    sizes: list[int] = []
    for count in (100, 1000):
        story = started(mapped(task_type="echo"), tuple(range(count)))
        assert story.outputs() == {"o0": list(range(count))}
        sizes.append(len(story.history))
    assert sizes[1] - sizes[0] == 900 * 4
