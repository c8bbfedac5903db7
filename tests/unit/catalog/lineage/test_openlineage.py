"""OpenLineage's events of executions: what the specification requires of them, and when there is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flyteidl.core.literals_pb2 import Literal, LiteralMap
from flyteidl.core.types_pb2 import SimpleType

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog.lineage.datasets import datasets, named
from services.catalog.lineage.openlineage import Naming, Parent, event, happenings, job_name, run_id
from services.catalog.lineage.runs import Run
from tests.unit.catalog.lineage.library import file, frame, told
from tests.unit.engine.story import Flow, From, Story, literal_map

NAMING = Naming("flightlog-test", "urn:test")


def events(story: Story, parent: Parent | None = None) -> list[dict[str, Any]]:
    """Every event of a story, each checked against what the specification requires."""
    run: Run | None = None
    found: list[dict[str, Any]] = []
    for fact in story.history:
        if isinstance(fact, facts.ExecutionCreated):
            run = Run(fact)
        assert run is not None
        run.take(fact)
        for one in happenings(run, fact):
            read = [
                LiteralMap.FromString(story.blobs[ref.uri]) if ref is not None and ref.uri in story.blobs else None
                for ref in (one.inputs, one.outputs)
            ]
            made = event(run, one, inputs=read[0], outputs=read[1], parent=parent, naming=NAMING)
            document = json.loads(made.json)
            check(document)
            assert made.event_type == document["eventType"]
            found.append(document)
    return found


def check(document: Mapping[str, Any]) -> None:
    """Required fields and formats of a RunEvent and of the facets that are used."""
    assert set(document) == {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
    assert document["eventType"] in ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
    datetime.fromisoformat(document["eventTime"])
    assert document["schemaURL"].startswith("https://openlineage.io/spec/2-0-2/OpenLineage.json")
    UUID(document["run"]["runId"])
    required = {
        "parent": {"run", "job"},
        "nominalTime": {"nominalStartTime"},
        "errorMessage": {"message", "programmingLanguage"},
        "jobType": {"processingType", "integration"},
        "schema": {"fields"},
    }
    facets = dict(document["run"]["facets"]) | document["job"]["facets"]
    for side in ("inputs", "outputs"):
        for dataset in document[side]:
            assert dataset["namespace"]
            assert dataset["name"]
            facets |= dataset.get("facets", {})
    assert document["job"]["namespace"] == "flightlog-test"
    assert document["job"]["name"]
    for name, facet in facets.items():
        assert required[name] | {"_producer", "_schemaURL"} <= facet.keys()
        assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/")
        assert all(value not in ("", None) for value in facet.values())
    if "parent" in facets:
        UUID(facets["parent"]["run"]["runId"])
        assert {"namespace", "name"} <= facets["parent"]["job"].keys()


def summary(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['eventType']} {one['job']['name'].removeprefix('p.d.')}" for one in found]


def test_execution_and_its_tasks_start_and_complete() -> None:
    inner = Flow("inner").task("n0", {"a": From("", "x")}).returns(o0=From("n0"))
    story = told(Flow().task("n0", {"a": From("", "x")}).sub("n1", inner, {"x": From("n0")}), "one", {"x": 1})
    story.start()
    story.succeeds("n0")
    story.succeeds("n1-0-n0")
    found = events(story)
    assert summary(found) == [
        "START main",
        "START main.n0",
        "COMPLETE main.n0",
        "START main.n1.n0",
        "COMPLETE main.n1.n0",
        "COMPLETE main",
    ]
    whole = run_id(("p", "d", "one"))
    assert {one["run"]["facets"].get("parent", {}).get("run", {}).get("runId") for one in found} == {None, str(whole)}
    assert len({one["run"]["runId"] for one in found}) == 3
    assert events(story) == found


def test_data_sets_are_what_goes_in_and_comes_out() -> None:
    table = Literal()
    table.CopyFrom(frame("s3://lake/table"))
    column = table.scalar.structured_dataset.metadata.structured_dataset_type.columns.add(name="number")
    column.literal_type.simple = SimpleType.INTEGER
    given = {"f": file("s3://in/a/b.csv"), "n": 3}
    flow = Flow().task("n0", {"f": From("", "f"), "n": From("", "n")}, outputs=("o0", "o1"))
    story = told(flow.returns(o0=From("n0")), "one", given)
    story.start()
    story.succeeds("n0", outputs={"o0": table, "o1": [file("gs://out/x"), file("gs://out/x")]})
    start, node_start, node_end, end = events(story)
    taken = [{"namespace": "s3://in", "name": "a/b.csv"}]
    assert start["inputs"] == node_start["inputs"] == node_end["inputs"] == end["inputs"] == taken
    assert start["outputs"] == node_start["outputs"] == []
    made, other = node_end["outputs"]
    assert (made["namespace"], made["name"]) == ("s3://lake", "table")
    assert made["facets"]["schema"]["fields"] == [{"name": "number", "type": "integer"}]
    assert other == {"namespace": "gs://out", "name": "x"}
    assert [one["name"] for one in end["outputs"]] == ["table"]


def test_failures_and_aborts_say_why() -> None:
    story = told(Flow().task("n0").task("n1"), "one")
    story.start()
    story.fails("n0", message="boom")
    story.sees("n1", "KILLED")
    found = events(story)
    assert summary(found) == [
        "START main",
        "START main.n0",
        "START main.n1",
        "FAIL main.n0",
        "ABORT main.n1",
        "FAIL main",
    ]
    messages = [one["run"]["facets"].get("errorMessage", {}).get("message", "") for one in found]
    assert "boom" in messages[3]
    assert "boom" in messages[5]
    aborted = told(Flow().task("n0"), "two")
    aborted.start()
    aborted.terminate("no longer wanted")
    aborted.sees("n0", "KILLED")
    last = events(aborted)[-1]
    assert (last["eventType"], last["run"]["facets"]["errorMessage"]["message"]) == ("ABORT", "no longer wanted")


def test_map_is_one_run_and_what_was_recovered_none() -> None:
    story = told(Flow().map("n0", {"a": From("", "xs")}).task("n1", {"a": From("n0")}), "one", {"xs": [1, 2]})
    story.start()
    story.succeeds("n0-0-n0")
    story.succeeds("n0-0-n1")
    story.fails("n1")
    assert summary(events(story)) == [
        "START main",
        "START main.n0",
        "COMPLETE main.n0",
        "START main.n1",
        "FAIL main.n1",
        "FAIL main",
    ]
    again = story.recovered()
    again.start()
    again.succeeds("n1")
    assert summary(events(again)) == ["START main", "START main.n1", "COMPLETE main.n1", "COMPLETE main"]


def test_scheduled_execution_has_its_nominal_time_and_a_child_its_parent() -> None:
    def change(created: facts.ExecutionCreated) -> None:
        created.spec.metadata.scheduled_at.FromDatetime(datetime(2026, 5, 1, 6, tzinfo=UTC))

    story = Story(Flow().echo("n0", 1), change=change)
    story.start()
    parent = Parent(("p", "d", "above"), "p.d.outer")
    start = events(story, parent)[0]
    assert start["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-05-01T06:00:00Z"
    assert start["run"]["facets"]["parent"]["job"]["name"] == "p.d.outer"
    assert start["run"]["facets"]["parent"]["run"]["runId"] == str(run_id(("p", "d", "above")))


@pytest.mark.parametrize(
    ("address", "namespace", "name"),
    [
        ("s3://bucket/a/b", "s3://bucket", "a/b"),
        ("s3a://bucket/a", "s3://bucket", "a"),
        ("gs://bucket/", "gs://bucket", "/"),
        ("abfss://c@account.dfs.core.windows.net/a", "abfss://c@account.dfs.core.windows.net", "a"),
        ("file:///tmp/x", "file", "/tmp/x"),
        ("/tmp/x", "file", "/tmp/x"),
        ("bq://project:dataset.table", "bigquery", "project.dataset.table"),
        ("https://host/a?b", "https://host", "a?b"),
    ],
)
def test_data_sets_are_named_by_the_conventions(address: str, namespace: str, name: str) -> None:
    assert named(address) == (namespace, name)


def test_values_are_no_data_sets() -> None:
    assert datasets(literal_map({"a": 1, "b": ["x"], "c": None}), "urn:test") == []
    assert datasets(None, "urn:test") == []


def test_job_is_named_by_the_way_through_the_compiled_workflows() -> None:
    story = told(Flow().task("n0"), "one")
    created = story.history[0]
    assert isinstance(created, facts.ExecutionCreated)
    assert job_name(Run(created)) == "p.d.main"
