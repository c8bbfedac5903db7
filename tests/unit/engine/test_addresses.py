"""Facts say where data lies that executions are linked by: constants, and what attempts did not make themselves."""

from __future__ import annotations

from flightlog_protos.execution.v1 import facts_pb2 as facts
from tests.unit.catalog.lineage.library import file, folder
from tests.unit.engine.story import Flow, From, Story


def test_constants_of_the_workflow_are_named_at_its_start() -> None:
    inner = Flow("inner").task("n0", {"f": file("s3://lake/inner")}).returns(o0=file("s3://lake/out"))
    flow = Flow().task("n0", {"f": [file("s3://lake/a"), file("s3://lake/a")], "n": 3}).sub("n1", inner)
    story = Story(flow.map("n2", {"a": From("", "xs"), "f": folder("s3://lake/map")}, bound=("f",)), {"xs": [1]})
    story.start()
    found = story.last(facts.ExecutionStarted).addresses
    assert sorted(found) == ["s3://lake/a", "s3://lake/inner", "s3://lake/map", "s3://lake/out"]


def test_outputs_elsewhere_than_where_the_attempts_own_are_found_are_named() -> None:
    story = Story(Flow().task("n0").task("n1"))
    story.start()
    own = story.last(facts.AttemptScheduled, node_id="n0").raw_output_prefix
    story.succeeds("n0", outputs={"o0": [file(f"{own}/a"), file(f"{own}-not"), file("s3://lake/b")], "o1": 4})
    assert list(story.last(facts.AttemptSucceeded, node_id="n0").addresses) == [f"{own}-not", "s3://lake/b"]
    story.succeeds("n1")
    assert not story.last(facts.AttemptSucceeded, node_id="n1").addresses


def test_what_a_dynamic_task_gives_to_its_nodes_is_named_likewise() -> None:
    story = Story(Flow().task("n0"))
    story.start()
    own = story.last(facts.AttemptScheduled, node_id="n0").raw_output_prefix
    given = {"f": file(f"{own}/made"), "g": file("s3://lake/g")}
    asked = Flow("asked").task("m0", given).returns(o0=From("m0"))
    for variable in asked.tasks["m0"].interface.inputs.variables.values():
        variable.type.blob.SetInParent()
    story.asks("n0", asked)
    assert list(story.last(facts.DynamicPlanned).addresses) == ["s3://lake/g"]
