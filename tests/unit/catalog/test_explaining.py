"""Why a node has the result it has: from its execution's facts, its entry's history, and the entries beside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyteidl.core.catalog_pb2 import CatalogArtifactTag, CatalogCacheStatus, CatalogMetadata
from flyteidl.core.compiler_pb2 import CompiledTask, CompiledWorkflowClosure
from flyteidl.core.identifier_pb2 import (
    DATASET,
    TASK,
    Identifier,
    NodeExecutionIdentifier,
    TaskExecutionIdentifier,
    WorkflowExecutionIdentifier,
)
from flyteidl.core.interface_pb2 import TypedInterface
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import FLOAT, INTEGER, STRING, SimpleType
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.catalog.v1.cache_pb2 import CachedResult, CacheKey, InputHash, ResultCached
from flightlog_protos.catalog.v1.catalog_service_pb2 import CachedEntry, CacheEvent, ExplainNodeResponse
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.log.v1.envelope_pb2 import DataRef
from flightlog_types import cache_keys
from flightlog_types.object_hash import encoded
from services.catalog.entries import Rules
from services.catalog.looking import uncached
from services.catalog.looking.compiled import compiled
from services.catalog.looking.explaining import Explanation, Inputs, explain, with_values
from services.catalog.looking.stories import Story, UnknownNode, story
from tests.unit.engine.story import INPUT, Flow, From, when

TASK_ID = Identifier(resource_type=TASK, project="p", domain="d", name="train", version="v1")
Outcome = ExplainNodeResponse


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    return moment


def node(execution: str = "mine", node_id: str = "n0") -> NodeExecutionIdentifier:
    return NodeExecutionIdentifier(
        execution_id=WorkflowExecutionIdentifier(project="p", domain="d", name=execution), node_id=node_id
    )


def literal(value: Any) -> Literal:
    found = Literal()
    if isinstance(value, list):
        found.collection.SetInParent()
        found.collection.literals.extend(map(literal, value))
    elif isinstance(value, int):
        found.scalar.primitive.integer = value
    else:
        found.scalar.primitive.string_value = value
    return found


def literals(**values: Any) -> LiteralMap:
    return LiteralMap(literals={name: literal(value) for name, value in values.items()})


def hashes(inputs: LiteralMap) -> list[InputHash]:
    return [InputHash(name=name, hash=encoded(found)) for name, found in cache_keys.input_digests(inputs).items()]


def key(inputs: LiteralMap, version: str = "1", name: str = "train") -> CacheKey:
    dataset = Identifier(
        resource_type=DATASET,
        project="p",
        domain="d",
        name=f"flyte_task-{name}",
        version=f"{version}-aaaaaaaa-bbbbbbbb",
    )
    return CacheKey(dataset=dataset, tag=cache_keys.tag(inputs))


def queued(inputs: LiteralMap, version: str = "1", *, seconds: float = 10, **fields: Any) -> facts.NodeQueued:
    use = facts.CacheUse(key=key(inputs, version), input_hashes=hashes(inputs))
    fact = facts.NodeQueued(node_id="n0", kind=facts.TASK, name="train", occurred_at=at(seconds), cache=use)
    fact.MergeFrom(facts.NodeQueued(**fields))
    return fact


def asked(inputs: LiteralMap, version: str = "1") -> list[Message]:
    """A node that asked at second 10 and was queued at second 11."""
    return [
        facts.CacheAsked(node=queued(inputs, version), occurred_at=at(10)),
        queued(inputs, version, seconds=11),
    ]


def entry(inputs: LiteralMap, version: str = "1", *, by: str = "other", seconds: float = 0) -> CachedEntry:
    result = CachedResult(
        artifact_id=f"of {by}",
        source=TaskExecutionIdentifier(task_id=TASK_ID, node_execution_id=node(by)),
        input_hashes=hashes(inputs),
    )
    return CachedEntry(key=key(inputs, version), result=result, cached_at=at(seconds))


def explained(
    history: list[Message],
    *candidates: CachedEntry,
    events: list[CacheEvent] | None = None,
    results: list[ResultCached] | None = None,
    rules: Rules | None = None,
) -> Explanation:
    told = story(history, "n0")
    return explain(
        told, node(), events or [], results or [], candidates, uncached.reason(told, None, None), rules or Rules()
    )


def put(inputs: LiteralMap, seconds: float = 20) -> facts.CachePutRequested:
    return facts.CachePutRequested(node_id="n0", key=key(inputs), occurred_at=at(seconds))


def succeeded(status: CatalogCacheStatus, artifact: str = "", by: str = "") -> facts.NodeSucceeded:
    seen = CatalogMetadata(artifact_tag=CatalogArtifactTag(artifact_id=artifact))
    if by:
        seen.source_task_execution.node_execution_id.CopyFrom(node(by))
    return facts.NodeSucceeded(node_id="n0", cache_status=status, catalog_key=seen)


def test_the_first_one_of_all_finds_nothing() -> None:
    found = explained(asked(literals(x=3)))
    assert found.outcome == Outcome.NOTHING_CACHED
    assert found.reason == "No result of train was cached when it asked."


def test_another_value_of_an_input_is_named_with_both_values() -> None:
    found = explained(asked(literals(x=3, y="same")), entry(literals(x=2, y="same")))
    assert found.outcome == Outcome.OTHER_KEY
    assert [part for part, *_ in found.differences] == ["input x"]
    told = with_values(found, Inputs(literals(x=3, y="same")), Inputs(literals(x=2, y="same")))
    assert told.differences == (("input x", "3", "2"),)
    assert told.reason == (
        "No result has the same key; next to it is that of n0 of p/d/other: input x is 3 here and 2 there."
    )


def test_values_that_are_gone_are_told_by_their_hashes() -> None:
    found = explained(asked(literals(x=3)), entry(literals(x=2)))
    assert with_values(found, Inputs(None), Inputs(None)).differences == found.differences
    (difference,) = found.differences
    assert difference.here == hashes(literals(x=3))[0].hash


def test_a_value_is_shown_only_where_it_is_the_one_of_the_key() -> None:
    """Inputs that lie where those of the key were, but are others, would tell a wrong story."""
    found = explained(asked(literals(x=3)), entry(literals(x=2)))
    assert with_values(found, Inputs(literals(x=99)), Inputs(literals(x=99))).differences == found.differences


def test_values_of_an_element_are_its_items_of_the_lists() -> None:
    found = explained(asked(literals(x=3)), entry(literals(x=2)))
    told = with_values(found, Inputs(literals(x=[1, 3]), 1), Inputs(literals(x=[2]), 0))
    assert told.differences == (("input x", "3", "2"),)


def test_an_elements_own_inputs_are_its_items() -> None:
    own = Inputs(literals(x=[1, 3], y="same"), 1).own(hashes(literals(x=3, y="same")))
    assert own == literals(x=3, y="same")
    assert Inputs(None).own([]) is None


def test_long_values_that_look_alike_are_told_apart() -> None:
    long = "a" * 200
    found = explained(asked(literals(x=long + "b")), entry(literals(x=long + "c")))
    ((_, here, there),) = with_values(found, Inputs(literals(x=long + "b")), Inputs(literals(x=long + "c"))).differences
    assert here != there
    assert max(len(here), len(there)) < 100


def test_an_input_that_does_not_count_there_is_ignored_there() -> None:
    found = explained(asked(literals(x=3, y=1)), entry(literals(x=3)))
    told = with_values(found, Inputs(literals(x=3, y=1)), Inputs(literals(x=3, y=7)))
    assert told.differences == (("input y", "1", "(ignored)"),)
    assert told.reason.endswith("input y is 1 here and ignored there.")
    told = with_values(found, Inputs(literals(x=3, y=1)), Inputs(literals(x=3)))
    assert told.reason.endswith("input y is only here.")


def test_the_nearest_entry_is_the_one_with_the_fewest_differences_then_the_newest() -> None:
    near, same_near, far = (
        entry(literals(x=2, y=1), by="near", seconds=1),
        entry(literals(x=5, y=1), by="newer", seconds=2),
        entry(literals(x=2, y=2), "2", by="far", seconds=9),
    )
    found = explained(asked(literals(x=3, y=1)), near, far)
    assert found.nearest == near
    found = explained(asked(literals(x=3, y=1)), near, same_near, far)
    assert found.nearest == same_near


def test_what_was_cached_later_explains_nothing() -> None:
    found = explained(asked(literals(x=3)), entry(literals(x=2), seconds=10.5))
    assert found.outcome == Outcome.NOTHING_CACHED


def test_its_own_result_explains_nothing() -> None:
    found = explained(asked(literals(x=3)), entry(literals(x=2), by="mine"))
    assert found.outcome == Outcome.NOTHING_CACHED


def test_many_differences_are_counted() -> None:
    here, there = literals(a=1, b=1, c=1, d=1), literals(a=2, b=2, c=2, d=2)
    found = with_values(explained(asked(here, "2"), entry(there)), Inputs(here), Inputs(there))
    assert found.reason.endswith(
        ": the cache version is 2 here and 1 there, input a is 1 here and 2 there, input b is 1 here and 2 there "
        "and 2 more parts differ."
    )


def test_types_that_differ_are_told_by_variable() -> None:
    def interface(**types: SimpleType) -> TypedInterface:
        found = TypedInterface()
        for name, kind in types.items():
            found.inputs.variables[name].type.simple = kind
        return found

    inputs = literals(x=3)
    other = entry(inputs)
    other.key.dataset.version = "1-cccccccc-bbbbbbbb"
    found = explained(asked(inputs), other)
    assert found.reason.endswith("the types of the inputs differ.")
    here = Inputs(None, interface=interface(x=FLOAT, y=STRING, z=INTEGER))
    there = Inputs(None, interface=interface(x=INTEGER, z=INTEGER))
    told = with_values(found, here, there)
    assert told.differences == (("inputs' interface", "x: float, y: string", "x: integer"),)
    assert told.reason.endswith("the inputs are declared with x: float, y: string here and x: integer there.")


def test_an_evicted_result_names_who_and_why() -> None:
    inputs = literals(x=3)
    events = [
        CacheEvent(occurred_at=at(1), what="cached", subject="n0 of p/d/other"),
        CacheEvent(occurred_at=at(2), what="evicted", actor="ada", reason="wrong data"),
    ]
    found = explained(asked(inputs), entry(literals(x=2)), events=events)
    assert found.outcome == Outcome.EVICTED
    assert found.reason == "The result was evicted by ada at 2026-01-01 00:00:02 UTC: wrong data."


def test_an_eviction_after_the_question_explains_nothing() -> None:
    events = [
        CacheEvent(occurred_at=at(12), what="cached", subject="n0 of p/d/mine"),
        CacheEvent(occurred_at=at(13), what="evicted", actor="ada"),
    ]
    assert explained(asked(literals(x=3)), events=events).outcome == Outcome.NOTHING_CACHED


def test_one_that_was_made_at_the_same_time_is_named() -> None:
    inputs = literals(x=3)
    events = [CacheEvent(occurred_at=at(15), what="cached", subject="n0 of p/d/other")]
    found = explained([*asked(inputs), put(inputs)], events=events)
    assert found.outcome == Outcome.MADE_MEANWHILE
    assert "n0 of p/d/other" in found.reason
    assert "cache_serialize" in found.reason


def test_one_that_is_too_old_says_when_it_was_made() -> None:
    rules = Rules(max_age=timedelta(seconds=5))
    events = [CacheEvent(occurred_at=at(1), what="cached", subject="n0 of p/d/other")]
    found = explained([*asked(literals(x=3)), put(literals(x=3))], events=events, rules=rules)
    assert found.outcome == Outcome.TOO_OLD
    assert found.reason == (
        "The result of n0 of p/d/other was made at 2026-01-01 00:00:01 UTC, "
        "and results older than 0:00:05 are not taken."
    )


def test_a_hit_names_who_made_it() -> None:
    inputs = literals(x=3)
    made = ResultCached(key=key(inputs), result=entry(inputs).result, occurred_at=at(1))
    history = [*asked(inputs), succeeded(CatalogCacheStatus.CACHE_HIT, "of other", "other")]
    found = explained(history, results=[made])
    assert found.outcome == Outcome.HIT
    assert found.reason == "It was a hit: made by n0 of p/d/other at 2026-01-01 00:00:01 UTC."
    assert found.nearest is not None
    assert found.nearest.result.artifact_id == "of other"


def test_a_hit_after_waiting_says_so() -> None:
    inputs = literals(x=3)
    made = ResultCached(key=key(inputs), result=entry(inputs).result, occurred_at=at(15))
    waited = [
        *asked(inputs),
        facts.ReservationAwaited(node_id="n0", occurred_at=at(12)),
        succeeded(CatalogCacheStatus.CACHE_HIT, "of other", "other"),
    ]
    assert "waited until n0 of p/d/other" in explained(waited, results=[made]).reason


def test_one_that_waits_names_the_other() -> None:
    events = [CacheEvent(occurred_at=at(9), what="reserved", subject="n0 of p/d/other")]
    waiting = [*asked(literals(x=3)), facts.ReservationAwaited(node_id="n0", occurred_at=at(12))]
    found = explained(waiting, events=events)
    assert found.outcome == Outcome.AWAITS_ANOTHER
    assert "n0 of p/d/other" in found.reason


def test_an_execution_that_overwrites_looks_nothing_up() -> None:
    found = explained([queued(literals(x=3))], entry(literals(x=3)))
    assert found.outcome == Outcome.OVERWRITES
    assert story([queued(literals(x=3))], "n0").status == CatalogCacheStatus.CACHE_SKIPPED


def test_lost_outputs_are_told() -> None:
    inputs = literals(x=3)
    again = queued(inputs, seconds=11)
    again.cache.overwrites = True
    found = explained([facts.CacheAsked(node=queued(inputs), occurred_at=at(10)), again])
    assert found.outcome == Outcome.OUTPUTS_LOST


def test_no_answer_yet_and_none_any_more() -> None:
    question = facts.CacheAsked(node=queued(literals(x=3)), occurred_at=at(10))
    assert explained([question]).reason == "The catalog has not answered yet."
    ended = explained([question, facts.NodeAborted(node_id="n0", unseen=True)])
    assert (ended.outcome, ended.reason) == (Outcome.UNANSWERED, "It ended before the catalog had answered.")


def test_a_recovered_node_names_where_it_ran() -> None:
    recovered = facts.NodeRecovered(node_id="n0", source=node("before"))
    found = explained([queued(literals(x=3)), recovered])
    assert found.outcome == Outcome.RECOVERED
    assert "n0 of p/d/before" in found.reason


def test_a_map_says_how_many_of_its_elements_were_hits() -> None:
    history: list[Message] = [
        facts.NodeQueued(node_id="n0", kind=facts.ARRAY),
        facts.ArrayPlanned(node_id="n0", size=3),
        *(
            facts.NodeQueued(node_id=f"n0-0-n{index}", parent_node_id="n0", element=index, kind=facts.TASK)
            for index in range(3)
        ),
        facts.NodeSucceeded(node_id="n0-0-n1", cache_status=CatalogCacheStatus.CACHE_HIT),
    ]
    found = explained(history)
    assert found.outcome == Outcome.NOT_CACHED
    assert "1 of 3 were hits" in found.reason


def test_an_element_is_found_by_its_index_and_has_the_maps_inputs() -> None:
    array = facts.NodeQueued(node_id="n0", kind=facts.ARRAY)
    array.inputs.uri = "s3://b/inputs.pb"
    element = queued(literals(x=1), node_id="n0-0-n1", parent_node_id="n0", element=1)
    told = story([array, facts.CacheAsked(node=element, occurred_at=at(10))], "n0", 1)
    assert (told.node_id, told.element) == ("n0-0-n1", 1)
    assert told.inputs is not None
    assert told.inputs.uri == "s3://b/inputs.pb"
    assert told.key == key(literals(x=1))


@pytest.mark.parametrize(
    ("node_id", "element", "says"),
    [("n9", None, "no node n9"), ("n0", 5, "no element 5"), ("n1", 0, "is no map"), ("zz", 0, "no node zz")],
)
def test_a_node_that_is_not_there_is_a_clear_error(node_id: str, element: int | None, says: str) -> None:
    history = [
        facts.NodeQueued(node_id="n0", kind=facts.ARRAY),
        facts.NodeQueued(node_id="n1", kind=facts.TASK),
    ]
    with pytest.raises(UnknownNode, match=says):
        story(history, node_id, element)


def with_sub(**said: Any) -> Flow:
    inner = Flow("inner").task("t", {"a": INPUT}).returns(o0=From("t"))
    return Flow().sub("n0", inner, {"x": INPUT}, **said)


def with_launch_plan(**said: Any) -> Flow:
    return Flow().launches("n0", {"x": INPUT}, launch_plan="inner", **said)


class TestUncached:
    """A node that has no key."""

    def reason(self, task: CompiledTask, inputs: LiteralMap | None = None, **overrides: Any) -> str:
        closure = CompiledWorkflowClosure(tasks=[task])
        compiled = closure.primary.template.nodes.add(id="n0")
        compiled.task_node.reference_id.CopyFrom(TASK_ID)
        for name, value in overrides.items():
            setattr(compiled.metadata, name, value)
        told = Story("n0", kind=facts.TASK, name="train", spec_node_id="n0", way=("n0",))
        return uncached.reason(told, closure, inputs)

    def task(self, *, cached: bool = True, version: str = "1", outputs: bool = True) -> CompiledTask:
        task = CompiledTask()
        task.template.id.CopyFrom(TASK_ID)
        task.template.metadata.discoverable = cached
        task.template.metadata.discovery_version = version
        if outputs:
            task.template.interface.outputs.variables["o0"].type.simple = INTEGER
        return task

    def test_a_task_that_is_not_cached(self) -> None:
        assert "without cache=True" in self.reason(self.task(cached=False))

    def test_a_task_whose_node_switches_it_off(self) -> None:
        assert "off for this node" in self.reason(self.task(), cacheable=False)

    def test_a_task_without_outputs(self) -> None:
        assert "no outputs" in self.reason(self.task(outputs=False))

    def test_a_task_without_a_version(self) -> None:
        assert "no cache_version" in self.reason(self.task(version=" "))

    def test_inputs_without_a_hash(self) -> None:
        inputs = LiteralMap()
        inputs.literals["x"].scalar.generic.fields["y"].number_value = float("inf")
        assert "no hash" in self.reason(self.task(), inputs)

    def test_a_server_that_caches_nothing(self) -> None:
        assert "FLIGHTLOG_EXECUTION__CACHING" in self.reason(self.task(), literals(x=1))

    @pytest.mark.parametrize("kind", [facts.START, facts.END, facts.BRANCH, facts.GATE])
    def test_kinds_that_have_no_result(self, kind: facts.NodeKind) -> None:
        assert "no result to be cached" in uncached.reason(Story("n0", kind=kind), None, None)

    @pytest.mark.parametrize("kind", [facts.TASK, facts.SUB_WORKFLOW, facts.LAUNCH_PLAN])
    def test_what_is_not_known_any_more_is_not_guessed(self, kind: facts.NodeKind) -> None:
        assert "did not get far enough to tell" in uncached.reason(Story("n0", kind=kind), None, None)


OF_NODES = pytest.mark.parametrize("flow", [with_sub, with_launch_plan])


def of_node(flow: Flow, inputs: LiteralMap | None = None) -> str:
    """Why what runs no task has no key."""
    kind = facts.SUB_WORKFLOW if flow.subs else facts.LAUNCH_PLAN
    return uncached.reason(Story("n0", kind=kind, way=("n0",)), flow.closure(), inputs)


class TestUncachedNodes:
    """Sub-workflows and launch plans, which are cached only where their nodes ask for it."""

    @OF_NODES
    def test_a_node_that_does_not_ask_for_it(self, flow: Callable[..., Flow]) -> None:
        assert "only where its node asks" in of_node(flow())

    @OF_NODES
    def test_a_node_without_a_version(self, flow: Callable[..., Flow]) -> None:
        assert "inner has no cache_version" in of_node(flow(cache=" "))

    @OF_NODES
    def test_inputs_without_a_hash(self, flow: Callable[..., Flow]) -> None:
        inputs = LiteralMap()
        inputs.literals["x"].scalar.generic.fields["y"].number_value = float("inf")
        assert "no hash" in of_node(flow(cache="1"), inputs)

    @OF_NODES
    def test_a_server_that_caches_nothing(self, flow: Callable[..., Flow]) -> None:
        assert "FLIGHTLOG_EXECUTION__CACHING" in of_node(flow(cache="1"), literals(x=1))

    def test_a_sub_workflow_without_outputs(self) -> None:
        assert "Sub-workflow inner has no outputs" in of_node(Flow().sub("n0", Flow("inner").task("t"), cache="1"))

    def test_a_launch_plan_of_which_the_workflow_does_not_know_what_it_gives(self) -> None:
        flow = with_launch_plan(cache="1")
        flow.launch_plans.clear()
        assert "was not compiled into this workflow" in of_node(flow)

    def test_what_a_launch_plan_gives_by_itself_may_have_no_hash(self) -> None:
        flow = with_launch_plan(cache="1")
        given = flow.launch_plans["inner"].template.fixed_inputs.literals["y"]
        given.scalar.generic.fields["y"].number_value = float("inf")
        assert "no hash" in of_node(flow, literals(x=1))


def nested() -> Flow:
    """Nodes of the same id, one cached and one not, in workflows that lie in one another."""
    last = Flow("last").task("n0", {"a": 1})
    last.tasks["n0"].metadata.discoverable = True
    arm = Flow("arm").sub("n0", Flow("inner").task("n0", {"a": 1}).sub("n1", last))
    return Flow().branch("n0", (when(INPUT, "GT", 1), arm)).map("n1", {"a": [1]}).map_task("n2", {"a": [1]}, size=1)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        (("n0", "n0-0", "n0"), "inner.n0"),
        (("n0", "n0-0", "n1", "n0"), "last.n0"),
        (("n1", "n0"), "main.n1"),
        (("n2", "n4"), "main.n2"),
        (("n0", "n0-0", "n9"), None),
        (("n9",), None),
        (("n0",), None),
    ],
)
def test_a_node_is_found_in_its_own_workflow(way: tuple[str, ...], name: str | None) -> None:
    closure = nested().closure()
    arm = closure.primary.template.nodes[2].branch_node.if_else.case.then_node.id
    found = compiled(closure, tuple(arm if one == "n0-0" else one for one in way))
    assert (None if found is None else found.name) == name


def test_a_story_says_where_the_node_was_compiled() -> None:
    ours, planned, other = (DataRef(uri=f"s3://bucket/{name}") for name in ("ours", "planned", "other"))
    history = [
        facts.ExecutionCreated(closure=ours),
        facts.NodeQueued(node_id="n0", spec_node_id="n0", kind=facts.TASK),
        facts.DynamicPlanned(node_id="n0", attempt=0, closure=other),
        facts.DynamicPlanned(node_id="n0", attempt=1, closure=planned),
        facts.NodeQueued(node_id="s", spec_node_id="dn0", parent_node_id="n0", retry_group="1"),
        facts.NodeQueued(node_id="t", spec_node_id="n4", parent_node_id="s", retry_group="0"),
    ]
    outer, inner = story(history, "n0"), story(history, "t")
    assert (outer.closure, outer.way) == (ours, ("n0",))
    assert (inner.closure, inner.way) == (planned, ("dn0", "n4"))
