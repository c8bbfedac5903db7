"""Where two runs went different ways, told of histories that are made by the engine itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap

from flightlog_protos.execution.v1 import facts_pb2 as facts
from flightlog_protos.history.v1.differences_pb2 import Difference
from services.execution.history import differences as told
from services.execution.history.differences import Data, differences, unlike_data
from services.execution.history.runs import run_of
from services.execution.history.values import alike
from tests.unit.engine.story import INPUT, Flow, From, Story, literal, when


def started(flow: Flow, x: int = 1, **options: Any) -> Story:
    story = Story(flow, {"x": x}, **options)
    story.start()
    return story


def compared(before: Story, after: Story) -> list[Difference]:
    ours, theirs = run_of(before.history), run_of(after.history)
    needed = {ref.uri for pair in unlike_data(ours, theirs) for ref in pair}
    blobs = {**before.blobs, **after.blobs}
    return differences(ours, theirs, Data({uri: LiteralMap.FromString(blobs[uri]) for uri in needed}))


def said(found: list[Difference]) -> list[tuple[str, ...]]:
    return [(one.kind, one.node, one.name, one.before, one.after) for one in found]


def named(name: str) -> Mapping[str, Any]:
    """Another name, so that its data lies elsewhere."""

    def change(created: facts.ExecutionCreated) -> None:
        created.id.name = name
        created.config.metadata_prefix = f"s3://bucket/metadata/propeller/p-d-{name}"
        created.inputs.uri = f"s3://bucket/metadata/p/d/{name}/inputs"

    return {"change": change}


def begun(flow: Flow, name: str, x: int = 1, **options: Any) -> Story:
    story = Story(flow, {"x": x}, **named(name), **options)
    assert story.state is not None
    created = story.state.created
    story.put(created.inputs.uri, LiteralMap(literals={"x": literal(x)}))
    story.start()
    return story


CHAIN = Flow(outputs={"o0": From("b")}).task("a", {"i": INPUT}).task("b", {"i": From("a")}, retries=1)


def finished(name: str, *, x: int = 1, a: int = 1, b: int = 1) -> Story:
    story = begun(CHAIN, name, x)
    story.succeeds("a", outputs={"o0": a})
    story.succeeds("b", outputs={"o0": b})
    assert story.phase == "SUCCEEDED"
    return story


def test_runs_that_went_the_same_way_differ_in_nothing() -> None:
    assert compared(finished("one"), finished("other")) == []


def test_failed_against_succeeded() -> None:
    failed = begun(CHAIN, "one")
    failed.succeeds("a")
    failed.fails("b", message="in /tmp/1\nValueError: boom")
    found = compared(failed, finished("other"))
    assert said(found) == [
        ("phase", "", "", "FAILED", "SUCCEEDED"),
        ("error", "", "", "USER USER:Boom: ValueError: boom", ""),
        ("phase", "b", "", "FAILED", "SUCCEEDED"),
        ("error", "b", "", "USER USER:Boom: ValueError: boom", ""),
    ]
    assert [one.node for one in found if one.first] == ["b"], "a went well in both"


def test_the_same_error_at_another_place_is_no_difference() -> None:
    runs = [begun(CHAIN, name) for name in ("one", "other")]
    for name, story in zip(("one", "other"), runs, strict=True):
        story.fails("a", message=f"File /tmp/{name}, line 3\nno room for {name}")
    assert compared(*runs) == []


def test_a_node_that_gave_something_else_explains_what_follows() -> None:
    found = compared(finished("one", a=5, b=7), finished("other", a=6, b=8))
    assert said(found) == [
        ("output", "", "o0", "7", "8"),
        ("output", "a", "o0", "5", "6"),
        ("input", "b", "i", "5", "6"),
        ("output", "b", "o0", "7", "8"),
    ]
    assert [(one.kind, one.node) for one in found if one.first] == [("output", "a")]


def test_other_inputs_explain_everything() -> None:
    found = compared(finished("one", x=1, a=5), finished("other", x=2, a=6))
    assert said(found)[0] == ("input", "", "x", "1", "2")
    assert [(one.kind, one.node) for one in found if one.first] == [("input", "")]


def test_what_was_too_large_to_read_is_told_by_its_hash() -> None:
    runs = [run_of(finished(name, x=x).history) for name, x in (("one", 1), ("other", 2))]
    found = differences(runs[0], runs[1], Data())
    first, *_ = [one for one in found if one.kind == "input"]
    assert first.name == ""
    assert "SHA-256 " + runs[0].created.inputs.sha256.hex() in first.before
    assert "SHA-256 " + runs[1].created.inputs.sha256.hex() in first.after


def test_what_came_first_is_read_first() -> None:
    """Only so much is read for one answer: the rest is told by its hash."""
    flow = Flow()
    for number in range(30):
        flow.task(f"t{number}", {"i": INPUT} if number == 0 else {"i": From(f"t{number - 1}")})
    runs: list[Story] = []
    for name, given in (("one", 0), ("other", 100)):
        story = begun(flow, name)
        for number in range(30):
            story.succeeds(f"t{number}", outputs={"o0": given + number})
        runs.append(story)
    ours, theirs = (run_of(story.history) for story in runs)
    outputs = [run.outputs.uri for run in ours.nodes.values() if run.outputs is not None]
    assert len(outputs) == 30
    assert [before.uri for before, _ in unlike_data(ours, theirs) if before.uri in outputs] == outputs


def test_settings_and_versions() -> None:
    def change(created: facts.ExecutionCreated) -> None:
        created.config.envs["A"] = "1"
        created.config.max_parallelism = 3
        created.workflow_id.version = "v2"
        created.config.launch_plan.name = "nightly"

    one, other = started(CHAIN), started(CHAIN, change=change)
    found = compared(one, other)
    assert [(kind, name, after) for kind, _, name, _, after in said(found)] == [
        ("workflow", "", "p/d/main@v2"),
        ("launch_plan", "", "//nightly@"),
        ("setting", "envs.A", "1"),
        ("setting", "max_parallelism", "3"),
    ]
    assert all(one.first for one in found if not one.node)


def test_tasks_that_are_registered_with_their_workflow_are_not_told_as_others() -> None:
    found = []
    for version in ("v1", "v2"):
        story = started(CHAIN)
        story.history[0].workflow_id.version = version  # type: ignore[attr-defined]
        for fact in story.history:
            if isinstance(fact, facts.AttemptScheduled):
                fact.task_id.version = version
        found.append(story)
    assert [one.kind for one in compared(*found)] == ["workflow"]


def test_attempts_and_durations_that_are_grossly_others() -> None:
    one, other = begun(CHAIN, "one"), begun(CHAIN, "other")
    for story in (one, other):
        story.succeeds("a")
    other.fails("b", recoverable=True)
    other.fire(other.last(facts.TimerSet).timer_id) if other.has(facts.TimerSet) else None
    other.now += timedelta(seconds=100)
    one.now += timedelta(seconds=3)
    one.succeeds("b")
    other.succeeds("b", 1)
    assert other.phase == "SUCCEEDED"
    found = compared(one, other)
    assert said(found) == [
        ("duration", "", "", "3.0 s", "100.0 s"),
        ("attempts", "b", "", "1", "2"),
        ("duration", "b", "", "3.0 s", "100.0 s"),
    ]
    assert [(one.kind, one.first) for one in found] == [("duration", False), ("attempts", True), ("duration", False)]


def test_branches_that_went_other_ways_explain_what_ran_in_them() -> None:
    flow = Flow().task("a", {"i": INPUT})
    flow.branch("b", (when(From("a"), "GT", 3), Flow("big").task("t")), otherwise=Flow("small").task("u"))
    runs = [begun(flow, name) for name in ("one", "other")]
    for story, given in zip(runs, (1, 5), strict=True):
        story.succeeds("a", outputs={"o0": given})
    found = compared(*runs)
    kinds = [(one.kind, one.node) for one in found]
    assert ("branch", "b") in kinds
    assert ("missing", "b/b-u") in kinds
    assert ("added", "b/b-t") in kinds
    assert [(one.kind, one.node) for one in found if one.first] == [("output", "a")]


def test_the_node_inside_is_where_they_parted_not_the_one_around() -> None:
    flow = Flow().sub("s", Flow("inner").task("t"))
    runs = [begun(flow, name) for name in ("one", "other")]
    inner = next(node for node in runs[0].phases() if runs[0].node(node).spec_node_id == "t")
    runs[0].fails(inner)
    runs[1].succeeds(inner)
    found = compared(*runs)
    assert {(one.kind, one.node) for one in found} >= {("phase", "s"), ("phase", "s/t")}
    assert [one.node for one in found if one.first] == ["s/t"]


def test_elements_are_told_apart_by_their_index() -> None:
    flow = Flow().map("m", {"i": [1, 2, 3]}, array={"min_success_ratio": 0.1})
    runs = [begun(flow, name) for name in ("one", "other")]
    for story in runs:
        for index in range(3):
            element = next(n for n in story.phases() if story.node(n).element == index)
            if story is runs[0] and index == 1:
                story.fails(element)
            else:
                story.succeeds(element)
    found = [one for one in compared(*runs) if one.first]
    assert [(one.kind, one.node, one.before, one.after) for one in found] == [("phase", "m/n1", "FAILED", "SUCCEEDED")]


def test_nodes_that_were_stopped_are_no_causes() -> None:
    flow = Flow().task("a").task("b")
    runs = [begun(flow, name) for name in ("one", "other")]
    runs[0].fails("a")
    runs[0].sees("b", "KILLED")
    for node in ("a", "b"):
        runs[1].succeeds(node)
    found = compared(*runs)
    assert ("phase", "b", "ABORTED") in [(one.kind, one.node, one.before) for one in found]
    assert [one.node for one in found if one.first] == ["a"]


def test_terminated_by_somebody() -> None:
    runs = [begun(CHAIN, name) for name in ("one", "other")]
    runs[0].terminate("enough of it", force=True)
    found = compared(*runs)
    assert ("error", "", "", "ABORTED: enough of it (user)", "") in said(found)
    assert [one.kind for one in found if one.first]


def test_a_recovered_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = started(CHAIN)
    failed.succeeds("a")
    failed.fails("b")
    again = failed.recovered()
    again.start()
    found = compared(failed, again)
    assert ("phase", "a", "", "SUCCEEDED", "RECOVERED") in said(found)


def test_the_number_of_differences_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "MOST", 2)
    found = compared(finished("one", a=5, b=7), finished("other", a=6, b=8))
    assert said(found)[2:] == [("more", "", "2", "", "")]


def blob(uri: str, digest: str = "") -> Literal:
    made = Literal(hash=digest)
    made.scalar.blob.uri = uri
    return made


def offloaded(uri: str, digest: str = "") -> Literal:
    made = Literal(hash=digest)
    made.offloaded_metadata.uri = uri
    return made


@pytest.mark.parametrize(
    ("before", "after", "contents", "same"),
    [
        (literal(1), literal(1), {}, True),
        (literal(1), literal(2), {}, False),
        (literal(1), literal("1"), {}, False),
        (blob("s3://a"), blob("s3://a"), {}, True),
        (blob("s3://a"), blob("s3://b"), {}, False),
        (blob("s3://a"), blob("s3://b"), {"s3://a": "x", "s3://b": "x"}, True),
        (blob("s3://a"), blob("s3://b"), {"s3://a": "x", "s3://b": "y"}, False),
        (blob("s3://a", "h"), blob("s3://b", "h"), {}, True),
        (blob("s3://a", "h"), blob("s3://b", "i"), {"s3://a": "x", "s3://b": "x"}, False),
        (offloaded("s3://a", "h"), offloaded("s3://b", "h"), {}, True),
        (offloaded("s3://a"), offloaded("s3://b"), {}, False),
        (literal([1, blob("s3://a")]), literal([1, blob("s3://b")]), {"s3://a": "x", "s3://b": "x"}, True),
        (literal({"k": blob("s3://a", "h")}), literal({"k": blob("s3://b", "h")}), {}, True),
        (literal({"k": blob("s3://a")}), literal({"k": blob("s3://b")}), {"s3://a": "x"}, False),
    ],
)
def test_values_are_the_same(before: Literal, after: Literal, contents: dict[str, str], *, same: bool) -> None:
    assert alike(before, after, contents) is same
    assert alike(after, before, contents) is same
