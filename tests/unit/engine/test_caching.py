"""Caching: what is asked of the catalog, what its answers do, and that whoever waits can be stopped (§4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.catalog_pb2 import CatalogCacheStatus
from flyteidl.core.identifier_pb2 import TaskExecutionIdentifier
from google.protobuf.message import Message

from flightlog_protos.catalog.v1.cache_pb2 import CacheAnswer, CachedResult, CacheKey
from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_types import cache_keys
from flightlog_types.object_hash import encoded
from services.execution import engine
from tests.unit.engine.story import INPUT, WORKFLOW_DIR, Flow, From, Story, identifier, literal_map

SOURCE = TaskExecutionIdentifier(task_id=identifier("TASK", "main.n0"), retry_attempt=2)
FOUND_AT = "s3://bucket/another/run/outputs.pb"


def cached(flow: Flow, *node_ids: str, serialize: bool = False, ignore: tuple[str, ...] = ()) -> Flow:
    for node_id in node_ids:
        metadata = flow.tasks[node_id].metadata
        metadata.discoverable, metadata.discovery_version, metadata.cache_serializable = True, "1", serialize
        metadata.cache_ignore_input_vars.extend(ignore)
    return flow


def chain(**options: Any) -> Flow:
    flow = Flow().task("n0", {"a": INPUT}).task("n1", {"a": From("n0")}).returns(o0=From("n1"))
    return cached(flow, "n0", **options)


def started(flow: Flow, **options: Any) -> Story:
    story = Story(flow, {"x": 4}, **options)
    story.start()
    return story


def key_of(story: Story, node_id: str) -> CacheKey:
    """What the catalog was asked for, or told, last."""
    for fact in reversed(story.history):
        match fact:
            case facts.CacheAsked() if fact.node.node_id == node_id:
                return fact.node.cache.key
            case facts.ReservationAsked() | facts.CachePutRequested() if fact.node_id == node_id:
                return fact.key
            case _:
                pass
    raise AssertionError(f"nothing was asked about {node_id}")


def answer(story: Story, node_id: str, kind: str, reason: str = "") -> CacheAnswer:
    told = CacheAnswer(kind=CacheAnswer.Kind.Value(kind), key=key_of(story, node_id), reason=reason)
    told.node.node_id = node_id
    if kind in ("FOUND", "STORED"):
        outputs = story.put(FOUND_AT, literal_map({"o0": 40}))
        told.result.CopyFrom(CachedResult(artifact_id="the artifact", outputs=outputs, source=SOURCE))
    return told


def answers(story: Story, node_id: str, kind: str) -> list[str]:
    return story.does(engine.AnswerCache((answer(story, node_id, kind),)))


def stored(story: Story, node_id: str) -> facts.NodeSucceeded:
    return story.last(facts.NodeSucceeded, node_id=node_id)


# ---------------------------------------------------------------------------------------------------- looking up


def test_a_ready_node_asks_before_anything_is_seen_of_it() -> None:
    story = Story(chain(), {"x": 4})
    assert story.start()[-1] == "CacheAsked n0"
    assert not story.has(facts.NodeQueued, node_id="n0")
    assert story.phases() == {"n0": "ASKING", "start-node": "SUCCEEDED"}
    key = key_of(story, "n0")
    assert (key.dataset.name, key.dataset.project) == ("flyte_task-main.n0", "p")
    assert key.dataset.version.startswith("1-")
    assert key.tag == cache_keys.tag(literal_map({"a": 4}))


def test_a_hit_ends_the_node_at_once_with_outputs_of_its_own() -> None:
    story = started(chain())
    assert answers(story, "n0", "FOUND")[:2] == ["NodeQueued n0", "NodeSucceeded n0"]
    succeeded = stored(story, "n0")
    assert succeeded.outputs.uri == f"{WORKFLOW_DIR}/n0/data/0/outputs.pb"
    assert story.data(succeeded.outputs) == {"o0": 40}
    assert succeeded.cache_status == CatalogCacheStatus.CACHE_HIT
    shown = succeeded.catalog_key
    assert shown.dataset_id == key_of(story, "n0").dataset
    assert (shown.artifact_tag.artifact_id, shown.artifact_tag.name) == ("the artifact", key_of(story, "n0").tag)
    assert shown.source_task_execution == SOURCE
    assert not story.has(facts.AttemptScheduled, node_id="n0")
    assert story.data(story.last(facts.NodeQueued, node_id="n1").inputs) == {"a": 40}


def test_a_chain_of_hits_ends_the_execution() -> None:
    flow = cached(chain(), "n1")
    story = started(flow)
    assert answers(story, "n0", "FOUND")[-1] == "CacheAsked n1"
    assert answers(story, "n1", "FOUND")[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": 40}


def test_a_miss_runs_the_node_and_its_result_is_known_before_it_has_succeeded() -> None:
    story = started(chain())
    assert answers(story, "n0", "NOT_FOUND") == ["NodeQueued n0", "AttemptScheduled n0#0", "NodeStarted n0"]
    assert story.succeeds("n0", outputs={"o0": 5}, deck=True) == ["AttemptSucceeded n0#0", "CachePutRequested n0#0"]
    put = story.last(facts.CachePutRequested)
    assert put.key == story.last(facts.CacheAsked).node.cache.key
    assert (put.overwrites, put.task_id) == (False, identifier("TASK", "main.n0"))
    assert story.data(put.outputs) == {"o0": 5}
    assert story.phases()["n0"] == "RUNNING"
    assert answers(story, "n0", "STORED")[:2] == ["NodeSucceeded n0", "NodeQueued n1"]
    succeeded = stored(story, "n0")
    assert succeeded.outputs == put.outputs
    assert succeeded.deck_uri.endswith("/deck.html")
    assert succeeded.cache_status == CatalogCacheStatus.CACHE_POPULATED
    assert succeeded.catalog_key.artifact_tag.artifact_id == "the artifact"
    assert not succeeded.catalog_key.HasField("source_task_execution")
    assert story.data(story.last(facts.NodeQueued, node_id="n1").inputs) == {"a": 5}


def test_questions_and_results_say_of_which_inputs_they_are() -> None:
    flow = Flow().task("n0", {"a": INPUT, "b": From("", "y"), "c": 3}).returns(o0=From("n0"))
    story = Story(cached(flow, "n0", ignore=("b",)), {"x": 4, "y": 5})
    story.start()
    asked = story.last(facts.CacheAsked).node
    digests = cache_keys.input_digests(literal_map({"a": 4, "c": 3}))
    assert {known.name: known.hash for known in asked.cache.input_hashes} == {
        name: encoded(digest) for name, digest in digests.items()
    }
    answers(story, "n0", "NOT_FOUND")
    story.succeeds("n0")
    put = story.last(facts.CachePutRequested)
    assert list(put.input_hashes) == list(asked.cache.input_hashes)
    assert (put.inputs, story.data(put.inputs)) == (asked.inputs, {"a": 4, "b": 5, "c": 3})


def test_a_result_that_cannot_be_kept_does_not_fail_the_node() -> None:
    story = started(chain())
    answers(story, "n0", "NOT_FOUND")
    story.succeeds("n0")
    assert answers(story, "n0", "NOT_STORED")[0] == "NodeSucceeded n0"
    succeeded = stored(story, "n0")
    assert succeeded.cache_status == CatalogCacheStatus.CACHE_PUT_FAILURE
    assert succeeded.catalog_key.dataset_id == key_of(story, "n0").dataset
    assert not succeeded.catalog_key.HasField("artifact_tag")


def test_only_the_attempt_that_succeeds_is_kept() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}, retries=1), "n0")
    story = started(flow)
    answers(story, "n0", "NOT_FOUND")
    story.fails("n0", recoverable=True)
    assert not story.has(facts.CachePutRequested)
    story.succeeds("n0", attempt=1)
    assert story.last(facts.CachePutRequested).attempt == 1
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"


def test_nodes_that_are_ready_together_ask_together_and_are_answered_together() -> None:
    flow = Flow()
    for number in range(3):
        cached(flow.task(f"n{number}", {"a": number}), f"n{number}")
    story = started(flow, parallelism=1)
    assert [fact.node.node_id for fact in story.history if isinstance(fact, facts.CacheAsked)] == ["n0", "n1", "n2"]
    told = (answer(story, "n2", "NOT_FOUND"), answer(story, "n0", "NOT_FOUND"), answer(story, "n1", "FOUND"))
    story.does(engine.AnswerCache(told))
    # The order in which they became ready is the order in which they get a place.
    assert story.phases() == {"n0": "RUNNING", "n1": "SUCCEEDED", "n2": "QUEUED", "start-node": "SUCCEEDED"}


def test_what_is_found_but_lost_is_made_again_and_takes_its_place() -> None:
    story = started(chain())
    told = answer(story, "n0", "FOUND")
    story.lost[FOUND_AT] = "it does not exist"
    assert story.does(engine.AnswerCache((told,)))[:2] == ["NodeQueued n0", "AttemptScheduled n0#0"]
    story.succeeds("n0")
    put = story.last(facts.CachePutRequested)
    assert put.overwrites
    assert [known.name for known in put.input_hashes] == ["a"]


@pytest.mark.parametrize(
    "outputs",
    [{}, {"o0": 1, "o1": 2}, {"o1": 1}, {"o0": "text"}, {"o0": [1]}],
    ids=["none", "more", "else", "text", "list"],
)
@pytest.mark.parametrize("waits", [False, True])
def test_what_cannot_be_the_nodes_is_made_again_and_takes_its_place(outputs: dict[str, Any], waits: bool) -> None:
    """Clients put results there that nobody has looked into."""
    story = started(chain(serialize=waits))
    if waits:
        answers(story, "n0", "NOT_FOUND")
        answers(story, "n0", "AWAITING")
    told = answer(story, "n0", "FOUND")
    told.result.outputs.CopyFrom(story.put("s3://bucket/a/clients.pb", literal_map(outputs)))
    story.does(engine.AnswerCache((told,)))
    assert story.phases()["n0"] == "RUNNING"
    story.succeeds("n0")
    assert story.last(facts.CachePutRequested).overwrites
    assert answers(story, "n0", "STORED")[0] == "NodeSucceeded n0"


def test_late_and_repeated_answers_change_nothing() -> None:
    story = started(chain())
    assert story.does(engine.AnswerCache((answer(story, "n0", "STORED"),))) == []
    again = answer(story, "n0", "NOT_FOUND")
    assert story.does(engine.AnswerCache((again,)))
    assert story.does(engine.AnswerCache((again, answer(story, "n0", "FOUND")))) == []
    stranger = answer(story, "n0", "FOUND")
    stranger.node.node_id = "n9"
    assert story.does(engine.AnswerCache((stranger,))) == []
    story.succeeds("n0")
    assert story.does(engine.AnswerCache((again,))) == []
    assert answers(story, "n0", "STORED")
    assert answers(story, "n0", "STORED") == []


# ---------------------------------------------------------------------------------------------------- who asks


def test_overwriting_asks_nothing_and_puts_its_result_in_the_place_of_another() -> None:
    def overwrite(created: facts.ExecutionCreated) -> None:
        created.config.overwrite_cache = True

    story = started(chain(serialize=True), change=overwrite)
    assert not story.has(facts.CacheAsked)
    assert not story.has(facts.ReservationAsked)
    assert story.phases()["n0"] == "RUNNING"
    story.succeeds("n0")
    put = story.last(facts.CachePutRequested)
    assert put.overwrites
    assert [known.name for known in put.input_hashes] == ["a"]
    answers(story, "n0", "STORED")
    assert stored(story, "n0").cache_status == CatalogCacheStatus.CACHE_POPULATED


@pytest.mark.parametrize(
    "flow",
    [
        Flow().task("n0", {"a": INPUT}),
        cached(Flow().task("n0", {"a": INPUT}, outputs=()), "n0"),
    ],
    ids=["not cacheable", "no outputs"],
)
def test_nodes_without_anything_to_cache_ask_nothing(flow: Flow) -> None:
    story = started(flow)
    story.succeeds("n0")
    assert story.phase == "SUCCEEDED"
    assert not story.has(facts.CacheAsked)
    assert not story.has(facts.CachePutRequested)


def test_a_task_without_cache_version_is_not_cached() -> None:
    flow = chain()
    flow.tasks["n0"].metadata.discovery_version = " "
    assert not started(flow).has(facts.CacheAsked)


def test_nothing_is_asked_where_caching_is_switched_off() -> None:
    settings = engine.EngineSettings(caching=False, retry_backoff_base=timedelta())
    story = started(chain(), settings=settings)
    story.succeeds("n0")
    story.succeeds("n1")
    assert story.phase == "SUCCEEDED"
    assert not story.has(facts.CacheAsked)


def test_switching_caching_off_lets_nodes_that_run_end_without_the_catalog() -> None:
    story = started(chain())
    answers(story, "n0", "NOT_FOUND")
    story.settings = engine.EngineSettings(caching=False, retry_backoff_base=timedelta())
    assert story.succeeds("n0")[1] == "NodeSucceeded n0"


def test_a_node_may_say_otherwise_than_its_task() -> None:
    flow = chain()
    flow.nodes[0].metadata.cacheable = False
    flow.nodes[1].metadata.cacheable = True
    flow.nodes[1].metadata.cache_version = "7"
    flow.nodes[1].metadata.cache_serializable = True
    story = started(flow)
    assert not story.has(facts.CacheAsked)
    story.succeeds("n0")
    asked = story.last(facts.CacheAsked).node
    assert asked.node_id == "n1"
    assert asked.cache.serializes
    assert asked.cache.key.dataset.version.startswith("7-")


def test_ignored_inputs_and_hashes_make_other_inputs_the_same() -> None:
    def tag(a: Any, b: Any, **options: Any) -> str:
        flow = cached(Flow().task("n0", {"a": From("", "a"), "b": From("", "b")}), "n0", **options)
        story = Story(flow, {"a": a, "b": b})
        story.start()
        return key_of(story, "n0").tag

    def hashed(value: int, text: str) -> Any:
        made = literal_map({"x": value}).literals["x"]
        made.hash = text
        return made

    assert tag(1, 2) != tag(1, 3)
    assert tag(1, 2, ignore=("b",)) == tag(1, 3, ignore=("b",))
    assert tag(1, hashed(2, "h")) == tag(1, hashed(3, "h")) != tag(1, hashed(3, "i"))


def test_inputs_that_cannot_be_hashed_are_not_cached() -> None:
    endless = literal_map({}).literals["x"]
    endless.scalar.generic["a"] = float("inf")
    story = Story(chain(), {"x": endless})
    story.start()
    assert story.phases()["n0"] == "RUNNING"


def test_an_echo_task_is_cached_like_any_other() -> None:
    flow = cached(Flow().echo("n0").echo("n1", From("n0")).returns(o0=From("n1")), "n0", "n1")
    story = started(flow)
    assert answers(story, "n0", "NOT_FOUND") == [
        "NodeQueued n0",
        "AttemptScheduled n0#0",
        "AttemptSucceeded n0#0",
        "CachePutRequested n0#0",
    ]
    answers(story, "n0", "STORED")
    assert answers(story, "n1", "FOUND")[-1] == "ExecutionSucceeded"


def test_a_dynamic_node_is_cached_with_what_its_nodes_gave() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}).returns(o0=From("n0")), "n0")
    story = started(flow)
    answers(story, "n0", "NOT_FOUND")
    story.asks("n0", Flow("asked").task("dn0").returns(o0=From("dn0")))
    assert not story.has(facts.CachePutRequested)
    assert story.succeeds("n0-0-dn0", outputs={"o0": 9})[-1] == "CachePutRequested n0#0"
    put = story.last(facts.CachePutRequested)
    assert story.data(put.outputs) == {"o0": 9}
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": 9}
    again = started(flow)
    assert answers(again, "n0", "FOUND")[-1] == "ExecutionSucceeded"
    assert not again.has(facts.DynamicPlanned)


def test_tasks_inside_sub_workflows_ask_by_their_own_inputs() -> None:
    inner = cached(Flow("inner").task("t", {"a": INPUT}).returns(o0=From("t")), "t")
    story = started(Flow().sub("n0", inner, {"x": INPUT}).returns(o0=From("n0")))
    node_id = story.last(facts.CacheAsked).node.node_id
    assert key_of(story, node_id).tag == cache_keys.tag(literal_map({"a": 4}))
    assert answers(story, node_id, "FOUND")[-1] == "ExecutionSucceeded"


# ---------------------------------------------------------------------------------------------------- maps


def mapped(**options: Any) -> Flow:
    serialize = options.pop("serialize", False)
    return cached(Flow().map("n0", {"a": INPUT}, **options).returns(o0=From("n0")), "n0", serialize=serialize)


def element(index: int) -> str:
    return f"n0-0-n{index}"


def map_started(flow: Flow, *xs: int, **options: Any) -> Story:
    story = Story(flow, {"x": list(xs)}, **options)
    story.start()
    return story


def test_each_element_asks_by_its_own_item_and_the_list_is_gathered_from_both() -> None:
    story = map_started(mapped(), 5, 6, 7)
    assert [fact.node.node_id for fact in story.history if isinstance(fact, facts.CacheAsked)] == [
        element(0),
        element(1),
        element(2),
    ]
    assert key_of(story, element(1)).tag == cache_keys.tag(literal_map({"a": 6}))
    told = (
        answer(story, element(0), "FOUND"),
        answer(story, element(1), "NOT_FOUND"),
        answer(story, element(2), "FOUND"),
    )
    story.does(engine.AnswerCache(told))
    assert story.phases() == {
        "n0": "RUNNING",
        "start-node": "SUCCEEDED",
        element(0): "SUCCEEDED",
        element(1): "RUNNING",
        element(2): "SUCCEEDED",
    }
    assert stored(story, element(0)).cache_status == CatalogCacheStatus.CACHE_HIT
    story.succeeds(element(1), outputs={"o0": 66})
    assert answers(story, element(1), "STORED")[-1] == "ExecutionSucceeded"
    assert story.outputs() == {"o0": [40, 66, 40]}


def test_elements_that_wait_for_answers_count_as_running_ones() -> None:
    story = map_started(mapped(array={"parallelism": 1}), 5, 6, 7)
    asked = [fact.node.node_id for fact in story.history if isinstance(fact, facts.CacheAsked)]
    assert asked == [element(0)]
    assert answers(story, element(0), "FOUND")[-1] == f"CacheAsked {element(1)}"
    assert answers(story, element(1), "NOT_FOUND")[-2:] == [
        f"AttemptScheduled {element(1)}#0",
        f"NodeStarted {element(1)}",
    ]


def test_a_map_that_can_only_fail_stops_elements_that_wait_for_answers() -> None:
    story = map_started(mapped(), 5, 6)
    answers(story, element(0), "NOT_FOUND")
    told = story.fails(element(0))
    assert f"NodeAborted {element(1)} NodeAborted" in told
    assert story.last(facts.NodeAborted, node_id=element(1)).unseen
    assert story.phase == "FAILED"
    assert answers(story, element(1), "FOUND") == []


def test_equal_items_of_a_serialized_map_run_once() -> None:
    story = map_started(mapped(serialize=True), 5, 5)
    told = (answer(story, element(0), "NOT_FOUND"), answer(story, element(1), "NOT_FOUND"))
    assert story.does(engine.AnswerCache(told))[-2:] == [
        f"ReservationAsked {element(0)}",
        f"ReservationAsked {element(1)}",
    ]
    answers(story, element(0), "RESERVED")
    answers(story, element(1), "AWAITING")
    story.succeeds(element(0), outputs={"o0": 40})
    story.does(engine.AnswerCache((answer(story, element(0), "STORED"), answer(story, element(1), "FOUND"))))
    assert story.outputs() == {"o0": [40, 40]}


def test_cached_echo_elements_are_written_because_others_are_waited_for() -> None:
    story = map_started(mapped(task_type="echo"), 5, 6)
    answers(story, element(0), "NOT_FOUND")
    put = story.last(facts.CachePutRequested)
    assert story.data(put.outputs) == {"o0": 5}
    # The item that it is of stands nowhere but in the array's list.
    assert [known.name for known in put.input_hashes] == ["a"]
    assert not put.HasField("inputs")
    answers(story, element(1), "FOUND")
    assert answers(story, element(0), "STORED")[-1] == "ExecutionSucceeded"


# ---------------------------------------------------------------------------------------------------- stopping


def test_a_node_that_waits_for_an_answer_can_be_aborted_unseen() -> None:
    story = started(chain())
    assert story.terminate() == ["AbortRequested", "NodeAborted n0 NodeAborted", "ExecutionAborted"]
    assert story.last(facts.NodeAborted).unseen
    assert answers(story, "n0", "FOUND") == []
    assert answers(story, "n0", "NOT_FOUND") == []


def test_a_failure_elsewhere_stops_a_node_that_waits_for_an_answer() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}).task("n1", {"a": INPUT}), "n0")
    story = started(flow)
    assert story.fails("n1")[-2:] == ["NodeAborted n0 NodeAborted", "ExecutionFailed USER:Boom"]
    assert answers(story, "n0", "NOT_FOUND") == []


def test_the_end_of_the_others_waits_for_the_answer_where_failures_stop_nothing() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}).task("n1", {"a": INPUT}).fails_after(), "n0")
    story = started(flow)
    story.fails("n1")
    assert story.phase == "RUNNING"
    assert answers(story, "n0", "FOUND")[-1] == "ExecutionFailed USER:Boom"


def test_a_node_whose_result_is_being_kept_can_be_aborted() -> None:
    story = started(chain())
    answers(story, "n0", "NOT_FOUND")
    story.succeeds("n0")
    assert story.terminate() == ["AbortRequested", "NodeAborted n0 NodeAborted", "ExecutionAborted"]
    assert not story.last(facts.NodeAborted).unseen
    assert answers(story, "n0", "STORED") == []


def test_deadlines_do_not_count_what_the_catalog_takes() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}, timeout=60), "n0")
    story = started(flow)
    assert not story.has(facts.TimerSet)
    answers(story, "n0", "NOT_FOUND")
    story.succeeds("n0")
    assert story.fire("n0/0/attempt") == []
    assert story.fire("n0/0/node") == []
    assert answers(story, "n0", "STORED")[-1] == "ExecutionSucceeded"


# ---------------------------------------------------------------------------------------------------- reservations


def test_a_serialized_node_asks_for_the_reservation_when_it_has_a_place_to_run() -> None:
    story = started(chain(serialize=True))
    assert answers(story, "n0", "NOT_FOUND") == ["NodeQueued n0", "ReservationAsked n0"]
    assert answers(story, "n0", "RESERVED") == ["ReservationHeld n0", "AttemptScheduled n0#0", "NodeStarted n0"]
    story.succeeds("n0")
    told = answers(story, "n0", "STORED")
    assert told[0] == "NodeSucceeded n0"
    assert not story.has(facts.ReservationReleased)


def test_a_node_that_waits_for_anothers_result_stays_queued_and_hits() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    assert answers(story, "n0", "AWAITING") == ["ReservationAwaited n0"]
    assert answers(story, "n0", "AWAITING") == []
    assert story.phases()["n0"] == "QUEUED"
    assert answers(story, "n0", "FOUND")[0] == "NodeSucceeded n0"
    assert stored(story, "n0").cache_status == CatalogCacheStatus.CACHE_HIT
    assert not story.has(facts.ReservationReleased)


def test_a_node_runs_when_the_one_it_waited_for_ended_without_a_result() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    answers(story, "n0", "AWAITING")
    assert answers(story, "n0", "RESERVED")[0:2] == ["ReservationHeld n0", "AttemptScheduled n0#0"]


@pytest.mark.parametrize("moment", ["asked", "awaited", "held"])
def test_whoever_ends_without_a_result_gives_the_reservation_back(moment: str) -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    if moment != "asked":
        answers(story, "n0", {"awaited": "AWAITING", "held": "RESERVED"}[moment])
    told = story.terminate()
    if moment == "held":
        told = story.sees("n0", "KILLED")
    assert told[-3:] == ["NodeAborted n0 NodeAborted", "ReservationReleased n0", "ExecutionAborted"]
    assert story.last(facts.ReservationReleased).key == key_of(story, "n0")


def test_the_next_attempt_keeps_the_reservation_and_the_last_failure_gives_it_back() -> None:
    flow = cached(Flow().task("n0", {"a": INPUT}, retries=1), "n0", serialize=True)
    story = started(flow)
    answers(story, "n0", "NOT_FOUND")
    answers(story, "n0", "RESERVED")
    assert story.fails("n0", recoverable=True)[-1] == "AttemptScheduled n0#1"
    assert not story.has(facts.ReservationReleased)
    assert "ReservationReleased n0" in story.fails("n0", attempt=1)


def test_a_result_that_cannot_be_kept_lets_the_next_one_try() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    answers(story, "n0", "RESERVED")
    story.succeeds("n0")
    assert answers(story, "n0", "NOT_STORED")[:2] == ["NodeSucceeded n0", "ReservationReleased n0"]


def test_a_reservation_that_comes_too_late_is_given_back() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    late = answer(story, "n0", "RESERVED")
    story.terminate()
    assert story.does(engine.AnswerCache((late,))) == ["ReservationReleased n0"]
    assert story.phase == "ABORTED"


def test_a_catalog_that_keeps_no_reservations_does_not_stop_the_node() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    assert answers(story, "n0", "NOT_FOUND") == []
    assert answers(story, "n0", "NOT_RESERVED")[:2] == ["ReservationHeld n0", "AttemptScheduled n0#0"]


def test_what_is_found_but_lost_while_waiting_is_made_again() -> None:
    story = started(chain(serialize=True))
    answers(story, "n0", "NOT_FOUND")
    answers(story, "n0", "AWAITING")
    told = answer(story, "n0", "FOUND")
    story.lost[FOUND_AT] = "it does not exist"
    assert story.does(engine.AnswerCache((told,)))[:2] == ["ReservationHeld n0", "AttemptScheduled n0#0"]
    story.succeeds("n0")
    put = story.last(facts.CachePutRequested)
    assert put.overwrites
    assert [known.name for known in put.input_hashes] == ["a"]


def test_a_node_that_waits_for_anothers_result_leaves_its_place_to_others() -> None:
    flow = Flow()
    for node_id in ("n0", "n1"):
        cached(flow.task(node_id, {"a": INPUT}), node_id, serialize=True)
    story = started(flow, parallelism=1)
    story.does(engine.AnswerCache((answer(story, "n0", "NOT_FOUND"), answer(story, "n1", "NOT_FOUND"))))
    assert asked(story) == ["n0"]
    assert answers(story, "n0", "AWAITING") == ["ReservationAwaited n0", "ReservationAsked n1"]
    assert answers(story, "n1", "RESERVED")[1] == "AttemptScheduled n1#0"
    story.succeeds("n1")
    answers(story, "n1", "STORED")
    assert answers(story, "n0", "FOUND")[-1] == "ExecutionSucceeded"
    assert story.state is not None
    assert story.state.slots == 0


def asked(story: Story) -> list[str]:
    return [fact.node_id for fact in story.history if isinstance(fact, facts.ReservationAsked)]


def in_tree(created: facts.ExecutionCreated) -> None:
    """Its max_parallelism was asked for, and holds for all executions below as well."""
    created.config.max_parallelism = 1
    created.config.parallelism_root.CopyFrom(created.id)


def same(count: int) -> Flow:
    """Nodes that want the same result, one at a time of which makes it."""
    flow = Flow()
    for number in range(count):
        flow.task(f"n{number}", {"a": INPUT}, cache="1", serialize=True)
        flow.nodes[-1].task_node.reference_id.name = flow.tasks[f"n{number}"].id.name = "same"
        flow.tasks[f"n{number}"].metadata.discoverable = True
    return flow.fails_after()


def test_in_a_tree_a_node_keeps_the_reservation_while_it_waits_for_a_place() -> None:
    """Passing it on to others that have no place either, they would do so for ever."""
    story = Story(same(3), {"x": 4}, change=in_tree)
    story.start()
    for number in range(3):
        answers(story, f"n{number}", "NOT_FOUND")
    answers(story, "n0", "RESERVED")
    story.fails("n0")
    answers(story, "n1", "AWAITING")
    answers(story, "n2", "RESERVED")
    assert answers(story, "n1", "RESERVED") == ["ReservationHeld n1", "SlotAwaited n1"]
    ended = story.fails("n2")
    assert ended[ended.index("ReservationReleased n2") :][-2:] == ["AttemptScheduled n1#0", "NodeStarted n1"]
    assert not any("ReservationAsked" in line for line in ended)
    story.succeeds("n1", outputs={"o0": 9})
    answers(story, "n1", "STORED")
    assert story.phase == "FAILED"


def test_in_a_tree_an_element_waits_for_nobodys_result() -> None:
    """Its array has a place for all of its elements, and whoever makes the result may wait for that."""
    flow = Flow().map("n0", {"a": From("", "xs")}, cache="1", serialize=True).returns(o0=From("n0"))
    flow.tasks["n0"].metadata.cache_serializable = flow.tasks["n0"].metadata.discoverable = True
    flow.tasks["n0"].metadata.discovery_version = "1"
    story = Story(flow, {"xs": [4]}, change=in_tree)
    story.start()
    (element,) = (node_id for node_id in story.phases() if node_id.startswith("n0-"))
    answers(story, element, "NOT_FOUND")
    ran = answers(story, element, "AWAITING")
    assert ran[:3] == [f"ReservationReleased {element}", f"ReservationHeld {element}", f"AttemptScheduled {element}#0"]


def test_every_history_folds_to_the_state_it_was_decided_in() -> None:
    """The story checks it after each command; here once more from the very beginning."""
    story = started(chain(serialize=True))
    for kind in ("NOT_FOUND", "AWAITING", "RESERVED"):
        answers(story, "n0", kind)
        history: list[Message] = story.history
        assert engine.fold(history) == story.state


# ---------------------------------------------------------------------------------------------------- failure nodes


def failing_with_a_cached_handler() -> Story:
    flow = cached(Flow().task("n0").task("fn0", {"a": INPUT}), "fn0").on_failure()
    story = started(flow)
    assert story.fails("n0")[-2:] == ["ExecutionFailing USER:Boom", "CacheAsked fn0"]
    return story


def test_failure_node_that_is_cached() -> None:
    story = failing_with_a_cached_handler()
    assert answers(story, "fn0", "FOUND")[-1] == "ExecutionFailed USER:Boom"
    story = failing_with_a_cached_handler()
    assert answers(story, "fn0", "NOT_FOUND") == ["NodeQueued fn0", "AttemptScheduled fn0#0", "NodeStarted fn0"]
    assert story.last(facts.NodeQueued, node_id="fn0").handles_failure
    story.succeeds("fn0")
    assert answers(story, "fn0", "STORED")[-1] == "ExecutionFailed USER:Boom"


def test_abort_while_a_failure_node_asks() -> None:
    story = failing_with_a_cached_handler()
    assert story.terminate()[-1] == "ExecutionAborted"
    assert answers(story, "fn0", "NOT_FOUND") == []
