"""Caching of what is no task: sub-workflows and launch plans whose nodes say so, wherever these nodes are (§4)."""

from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.interface_pb2 import Parameter, ParameterMap, VariableMap
from flyteidl.core.types_pb2 import INTEGER

from flightlog_compiler import EntityKey, LaunchPlanInterface
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types import cache_keys
from services.execution import engine
from tests.unit.engine.story import (
    INPUT,
    WORKFLOW_DIR,
    Flow,
    From,
    Story,
    identifier,
    literal_map,
)
from tests.unit.engine.test_caching import answer, answers, key_of, started, stored


def inner() -> Flow:
    return Flow("inner").task("t", {"a": INPUT}).returns(o0=From("t"))


def with_sub(**said: Any) -> Flow:
    return Flow().sub("n0", inner(), {"x": INPUT}, cache="3", **said).returns(o0=From("n0"))


def with_launch_plan(**said: Any) -> Flow:
    return Flow().launches("n0", {"x": INPUT}, cache="3", **said).returns(o0=From("n0"))


def runs(story: Story) -> list[str]:
    """Lets what the node consists of do its work."""
    if story.has(facts.ChildExecutionRequested):
        return story.child_succeeds("n0", outputs={"o0": 9})
    return story.succeeds("n0-0-t", outputs={"o0": 9})


KINDS = pytest.mark.parametrize(
    ("make", "named"), [(with_sub, ("WORKFLOW", "inner")), (with_launch_plan, ("LAUNCH_PLAN", "echo"))]
)


@KINDS
def test_a_miss_runs_it_and_its_outputs_are_put_before_it_has_succeeded(make: Any, named: tuple[str, str]) -> None:
    story = started(make())
    kind, name = named
    key = key_of(story, "n0")
    assert key.dataset.name == f"flightlog_{kind.lower()}-{name}"
    assert (key.dataset.project, key.dataset.domain) == ("p", "d")
    assert key.dataset.version.startswith("3-")
    assert key.tag == cache_keys.tag(literal_map({"x": 4}))
    assert story.phases() == {"n0": "ASKING", "start-node": "SUCCEEDED"}
    assert answers(story, "n0", "NOT_FOUND")[0] == "NodeQueued n0"
    assert runs(story)[-1] == "CachePutRequested n0#0"
    put = story.last(facts.CachePutRequested)
    assert (put.key, put.task_id) == (key, identifier(kind, name))
    assert story.data(put.outputs) == {"o0": 9}
    assert story.data(put.inputs) == {"x": 4}
    assert [known.name for known in put.input_hashes] == ["x"]
    assert story.phases()["n0"] == "RUNNING"
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"
    assert stored(story, "n0").cache_status == CatalogCacheStatus.CACHE_POPULATED
    assert story.outputs() == {"o0": 9}


@KINDS
def test_a_hit_ends_it_with_nothing_of_it_run(make: Any, named: tuple[str, str]) -> None:
    story = started(make())
    assert answers(story, "n0", "FOUND")[:2] == ["NodeQueued n0", "NodeSucceeded n0"]
    succeeded = stored(story, "n0")
    assert succeeded.outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert succeeded.cache_status == CatalogCacheStatus.CACHE_HIT
    assert succeeded.catalog_key.HasField("source_task_execution")
    assert set(story.phases()) == {"start-node", "n0", "end-node"}
    assert not story.has(facts.ChildExecutionRequested)
    assert story.outputs() == {"o0": 40}


@KINDS
def test_overwriting_asks_nothing_and_takes_the_place(make: Any, named: tuple[str, str]) -> None:
    story = Story(make(), {"x": 4}, change=lambda created: setattr(created.config, "overwrite_cache", True))
    story.start()
    assert not story.has(facts.CacheAsked)
    runs(story)
    assert story.last(facts.CachePutRequested).overwrites


@KINDS
def test_one_at_a_time_makes_the_result(make: Any, named: tuple[str, str]) -> None:
    story = started(make(serialize=True), parallelism=1)
    assert answers(story, "n0", "NOT_FOUND") == ["NodeQueued n0", "ReservationAsked n0"]
    assert answers(story, "n0", "AWAITING") == ["ReservationAwaited n0"]
    assert story.phases()["n0"] == "QUEUED"
    waiting = story
    assert answers(waiting, "n0", "FOUND")[-1] == "ExecutionSucceeded"
    story = started(make(serialize=True), parallelism=1)
    answers(story, "n0", "NOT_FOUND")
    assert "ReservationHeld n0" in answers(story, "n0", "RESERVED")
    # Whoever consists of others has left its place to them.
    assert runs(story)[-1] == "CachePutRequested n0#0"
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"
    assert story.state is not None
    assert story.state.slots == 0
    assert not story.has(facts.ReservationReleased)


@KINDS
@pytest.mark.parametrize("moment", ["asking", "asked", "awaited", "held", "storing"])
def test_it_can_be_aborted_whatever_it_waits_for(make: Any, named: tuple[str, str], moment: str) -> None:
    story = started(make(serialize=True))
    for kind in ("NOT_FOUND",) if moment != "asking" else ():
        answers(story, "n0", kind)
    if moment in ("awaited", "held", "storing"):
        answers(story, "n0", "AWAITING" if moment == "awaited" else "RESERVED")
    if moment == "storing":
        runs(story)
    story.terminate()
    if moment == "held":
        if story.has(facts.ChildExecutionRequested):
            story.child_aborted("n0")
        else:
            story.sees("n0-0-t", "KILLED")
    assert story.phase == "ABORTED"
    assert story.has(facts.ReservationReleased, node_id="n0") == (moment != "asking")
    assert answers(story, "n0", "STORED" if moment == "storing" else "FOUND") == []


@KINDS
def test_a_failure_of_what_it_runs_gives_the_reservation_back(make: Any, named: tuple[str, str]) -> None:
    story = started(make(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    answers(story, "n0", "RESERVED")
    told = story.child_fails("n0") if story.has(facts.ChildExecutionRequested) else story.fails("n0-0-t")
    assert "ReservationReleased n0" in told
    assert not story.has(facts.CachePutRequested)
    assert story.phase == "FAILED"


def test_a_sub_workflow_without_outputs_is_not_cached() -> None:
    flow = Flow().sub("n0", Flow("inner").task("t", {"a": INPUT}), {"x": INPUT}, cache="3")
    story = started(flow)
    assert story.succeeds("n0-0-t")[-1] == "ExecutionSucceeded"
    assert not story.has(facts.CacheAsked)
    assert not story.has(facts.CachePutRequested)


def test_without_a_version_there_is_no_key() -> None:
    story = started(Flow().sub("n0", inner(), {"x": INPUT}, cache=" ").returns(o0=From("n0")))
    assert not story.has(facts.CacheAsked)


def test_what_a_launch_plan_gives_by_itself_is_an_input_like_others() -> None:
    def tag(inputs: dict[str, Any], given: dict[str, int]) -> str:
        flow = Flow().launches("n0", inputs, cache="3", given=given).returns(o0=From("n0"))
        return key_of(started(flow), "n0").tag

    assert tag({"x": INPUT}, {"y": 1}) == cache_keys.tag(literal_map({"x": 4, "y": 1}))
    assert tag({"x": INPUT, "y": 2}, {"y": 1}) == cache_keys.tag(literal_map({"x": 4, "y": 2}))


def test_a_closure_of_an_earlier_release_does_not_say_what_a_launch_plan_gives() -> None:
    closure = with_launch_plan().closure()
    closure.ClearField("launch_plans")
    story = Story(closure, {"x": 4})
    story.start()
    assert story.has(facts.ChildExecutionRequested, node_id="n0")
    assert not story.has(facts.CacheAsked)


def test_a_cached_sub_workflow_may_hold_cached_nodes() -> None:
    held = Flow("inner").sub(
        "m", Flow("innermost").task("t", {"a": INPUT}).returns(o0=From("t")), {"x": INPUT}, cache="1"
    )
    story = started(Flow().sub("n0", held.returns(o0=From("m")), {"x": INPUT}, cache="1").returns(o0=From("n0")))
    assert answers(story, "n0", "NOT_FOUND")[-1] == "CacheAsked n0-0-m"
    assert answers(story, "n0-0-m", "FOUND")[-1] == "CachePutRequested n0#0"
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"


# ---------------------------------------------------------------------------------------------------- maps


def element(index: int) -> str:
    return f"n0-0-n{index}"


def test_elements_that_run_a_launch_plan_are_cached_one_by_one() -> None:
    flow = Flow().map("n0", {"x": INPUT}, launch_plan="echo", original=True, cache="3").returns(o0=From("n0"))
    story = Story(flow, {"x": [5, 6, 7]})
    story.start()
    asked = [fact.node for fact in story.history if isinstance(fact, facts.CacheAsked)]
    assert [(fact.node_id, fact.cache.key.tag) for fact in asked] == [
        (element(index), cache_keys.tag(literal_map({"x": 5 + index}))) for index in range(3)
    ]
    kinds = ("FOUND", "NOT_FOUND", "FOUND")
    story.does(engine.AnswerCache(tuple(answer(story, element(index), kind) for index, kind in enumerate(kinds))))
    assert [fact.node_id for fact in story.history if isinstance(fact, facts.ChildExecutionRequested)] == [element(1)]
    story.child_succeeds(element(1), outputs={"o0": 66})
    put = story.last(facts.CachePutRequested)
    assert put.task_id == identifier("LAUNCH_PLAN", "echo")
    assert story.data(put.inputs) == {"x": 6}
    assert answers(story, element(1), "STORED")[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": [40, 66, 40]}


# ---------------------------------------------------------------------------------------------------- dynamic nodes


def test_what_a_dynamic_node_asks_for_is_cached_likewise() -> None:
    launch_plan_id = identifier("LAUNCH_PLAN", "echo")
    outputs = VariableMap()
    outputs.variables["o0"].type.simple = INTEGER
    parameter = Parameter(required=True)
    parameter.var.type.simple = INTEGER
    known = {
        EntityKey.of(launch_plan_id): LaunchPlanInterface(
            launch_plan_id, ParameterMap(parameters={"x": parameter}), outputs, literal_map({"y": 2})
        )
    }
    asked = Flow("asked").sub("dn0", inner(), {"x": 5}, cache="1").launches("dn1", {"x": 5}, cache="1")
    story = started(Flow().task("n0", {"a": INPUT}).returns(o0=From("n0")))
    told = story.asks("n0", asked.returns(o0=From("dn1")), launch_plans=known)
    assert told[-2:] == ["CacheAsked n0-0-dn0", "CacheAsked n0-0-dn1"]
    assert key_of(story, "n0-0-dn0").dataset.name == "flightlog_workflow-inner"
    assert key_of(story, "n0-0-dn1").dataset.name == "flightlog_launch_plan-echo"
    assert key_of(story, "n0-0-dn1").tag == cache_keys.tag(literal_map({"x": 5, "y": 2}))
    answers(story, "n0-0-dn0", "FOUND")
    assert answers(story, "n0-0-dn1", "FOUND")[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": 40}


# ---------------------------------------------------------------------------------------------------- recovering


@KINDS
def test_a_run_that_recovers_takes_a_cached_result_over_without_asking(make: Any, named: tuple[str, str]) -> None:
    flow = make().task("n1", {"a": From("n0")}).returns(o0=From("n1"))
    story = started(flow)
    answers(story, "n0", "FOUND")
    story.fails("n1")
    assert story.phase == "FAILED"
    again = story.recovered()
    again.start()
    assert again.phases()["n0"] == "RECOVERED"
    assert again.last(facts.NodeRecovered).cache_status == CatalogCacheStatus.CACHE_HIT
    assert not again.has(facts.CacheAsked)


@KINDS
def test_a_run_that_recovers_asks_for_what_had_not_ended(make: Any, named: tuple[str, str]) -> None:
    story = started(make())
    answers(story, "n0", "NOT_FOUND")
    _ = story.child_fails("n0") if story.has(facts.ChildExecutionRequested) else story.fails("n0-0-t")
    again = story.recovered()
    assert again.start()[-1] == "CacheAsked n0"
    assert answers(again, "n0", "FOUND")[-1] == "ExecutionSucceeded"
