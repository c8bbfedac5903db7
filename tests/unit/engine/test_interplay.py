"""Rules of different kinds of nodes where they meet: a decision that ends one and stops another, and the like."""

from __future__ import annotations

import pytest
from flyteidl.core import literals_pb2, tasks_pb2

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.execution import engine
from services.execution.engine import names
from tests.unit.engine.story import INPUT, Flow, From, Story, identifier, literal
from tests.unit.engine.test_caching import answer, cached, started


def overwrite(created: facts.ExecutionCreated) -> None:
    created.config.overwrite_cache = True


# ---------------------------------------------------------------------------------------------------- caching


def test_a_node_that_waits_for_a_place_may_need_data_to_run() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}).echo("n1"), "n1", serialize=True)
    story = Story(flow, {"x": 4}, parallelism=1, change=overwrite)
    story.start()
    assert story.succeeds("n0")[-2:] == ["AttemptSucceeded n1#0", "CachePutRequested n1#0"]


def test_a_node_is_not_queued_that_a_failure_of_the_same_moment_has_ended() -> None:
    flow = Flow().task("n0", {"a": INPUT}).task("n1", {"a": INPUT}).task("n2", {"a": From("n0", "o0", ("nothing",))})
    story = started(cached(flow, "n0", "n1"))
    told = story.does(engine.AnswerCache((answer(story, "n0", "FOUND"), answer(story, "n1", "NOT_FOUND"))))
    assert told[-2:] == ["NodeAborted n1 NodeAborted", "ExecutionFailed BindingResolutionFailure"]
    assert story.phases()["n1"] == "ABORTED"


def test_an_answer_that_comes_twice_at_once_queues_a_node_once() -> None:
    story = started(cached(Flow().task("n0", {"a": INPUT}), "n0"))
    unknown = answer(story, "n0", "NOT_FOUND")
    told = story.does(engine.AnswerCache((unknown, unknown)))
    assert told == ["NodeQueued n0", "AttemptScheduled n0#0", "NodeStarted n0"]


# ---------------------------------------------------------------------------------------------------- failure nodes


def test_a_workflow_lost_while_its_failure_node_asks_shows_the_node() -> None:
    flow = Flow().task("n0", {"a": INPUT}).task("fn", {"a": INPUT}).on_failure()
    story = started(cached(flow, "fn"))
    assert story.fails("n0")[-1] == "CacheAsked fn"
    unknown = answer(story, "fn", "NOT_FOUND")
    story.program = engine.Program.unrunnable("gone")
    told = story.does(engine.AnswerCache((unknown,)))
    assert [line.split()[0] for line in told] == ["NodeQueued", "NodeFailing", "NodeFailed", "ExecutionFailed"]
    assert story.error().code == "BadSpecificationError"


def test_a_workflow_lost_while_a_failure_nodes_own_failure_is_handled_ends() -> None:
    deepest = Flow("deepest").task("n0", {"a": INPUT})
    inner = Flow("inner").task("n0", {"a": INPUT}).sub("fn", deepest, {"x": INPUT}).on_failure()
    story = started(Flow().task("n0", {"a": INPUT}).sub("fn", inner, {"x": INPUT}).on_failure())
    story.fails("n0")
    story.fails("fn-0-n0")
    story.program = engine.Program.unrunnable("gone")
    story.succeeds("fn-0-fn-0-n0")
    assert story.error().code == "BadSpecificationError"
    assert {story.phases()[node] for node in ("fn-0-fn", "fn")} == {"FAILED"}


# ---------------------------------------------------------------------------------------------------- maps


def test_elements_of_an_array_never_share_an_id() -> None:
    """Ids that are hashed as a whole meet by chance: in two maps of ten thousand once in fifty runs."""
    ids = [names.element_id(f"process-every-file-of-{month}", 0, f"n{i}") for month in range(10) for i in range(5000)]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= names.NODE_ID_LIMIT
    assert names.element_id("n0", 1, "n9999") == "n0-1-n9999"


def test_a_map_with_a_long_name_runs_like_any_other() -> None:
    story = Story(Flow().map("process-every-file", {"a": INPUT}).returns(o0=From("process-every-file")), {"x": [1, 2]})
    story.start()
    first, second = (names.element_id("process-every-file", 0, f"n{i}") for i in range(2))
    assert (first[8:], second[8:]) == ("-n0", "-n1")
    story.succeeds(second, outputs={"o0": 20})
    story.succeeds(first, outputs={"o0": 10})
    assert story.outputs() == {"o0": [10, 20]}


def test_an_element_cannot_ask_for_nodes() -> None:
    """They would need places among the running nodes, while their map keeps one until they are done."""
    story = Story(Flow().map("n0", {"a": INPUT}), {"x": [1]})
    story.start()
    told = story.asks("n0-0-n0", Flow("inner").task("a", {"b": 3}))
    assert "NodeFailed n0-0-n0 DynamicWorkflowBuildFailed" in told
    assert story.error().message == "[0]: an element of a map cannot ask for nodes"


def test_only_tasks_and_launch_plans_are_mapped() -> None:
    flow = Flow().map("n0", {"a": INPUT})
    flow.nodes[0].array_node.node.workflow_node.sub_workflow_ref.CopyFrom(identifier("WORKFLOW", "inner"))
    with pytest.raises(engine.ProgramError, match="mapped"):
        Story(flow)


def test_a_cached_map_of_fixed_size_needs_an_item_for_every_element() -> None:
    flow = cached(Flow().map_task("n0", {"x": INPUT}, version=0, size=3), "n0")
    story = Story(flow, {"x": [1, 2]})
    assert story.start()[-1] == "ExecutionFailed InvalidArrayLength"
    assert story.error().message == "[x] has 2 items, for 3 elements"


def test_items_of_a_cached_map_of_fixed_size_may_lie_elsewhere() -> None:
    flow = cached(Flow().map_task("n0", {"x": INPUT}, version=0, size=2), "n0")
    elsewhere = literals_pb2.Literal()
    elsewhere.offloaded_metadata.uri = "s3://bucket/large"
    flow.tasks["n0"].metadata.runtime.type = tasks_pb2.RuntimeMetadata.FLYTE_SDK
    flow.tasks["n0"].metadata.runtime.version = "1.16.0"
    story = Story(flow, {"x": elsewhere})
    story.blobs["s3://bucket/large"] = literal([1, 2]).SerializeToString()
    assert story.start()[-2:] == ["CacheAsked n0-0-n0", "CacheAsked n0-0-n1"]


# ---------------------------------------------------------------------------------------------------- depth


def test_workflows_lie_in_one_another_without_end() -> None:
    flow = Flow("w0").task("n0", {"a": INPUT}).returns(o0=From("n0"))
    for depth in range(1, 601):
        flow = Flow(f"w{depth}").sub("n0", flow, {"x": INPUT}).returns(o0=From("n0"))
    story = Story(flow, {"x": 4})
    story.start()
    assert story.succeeds(story.last(facts.AttemptScheduled).node_id, outputs={"o0": 5})[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": 5}


def test_nodes_that_come_to_have_one_id_end_the_execution() -> None:
    inner = Flow("inner").task("n0", {"a": INPUT})
    story = Story(Flow().sub("n0", inner, {"x": INPUT}).task("n0-0-n0", {"a": INPUT}), {"x": 4})
    story.start()
    assert story.error().code == "BadSpecificationError"
    assert story.error().message == "two nodes have the id [n0-0-n0]: rename [n0] or [n0-0-n0]"
