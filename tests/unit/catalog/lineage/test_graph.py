"""Backward and forward through everything that a workflow can consist of, and from one execution to another."""

from __future__ import annotations

import pytest

from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph
from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.catalog.lineage.graph import NothingKnown
from tests.unit.catalog.lineage.library import BACKWARD, FORWARD, Library, file, folder, frame, ids, lines, told
from tests.unit.engine.story import NAME, Flow, From, Story, when


def own(graph: LineageGraph) -> set[str]:
    """The edges within the only execution, without its name."""
    return {line.replace(f"{NAME}/", "").replace(NAME, "") for line in lines(graph)}


async def test_chain_is_followed_variable_by_variable() -> None:
    flow = (
        Flow()
        .task("n0", {"a": From("", "x"), "b": 7}, outputs=("o0", "o1"))
        .task("n1", {"a": From("n0", "o0")})
        .task("n2", {"a": From("n0", "o1")})
        .returns(o0=From("n1"), o1=From("n2"))
    )
    story = Story(flow, {"x": 1, "y": 2})
    story.start()
    story.succeeds("n0", outputs={"o0": 1, "o1": 2})
    story.succeeds("n1", outputs={"o0": 3})
    story.succeeds("n2", outputs={"o0": 4})
    library = Library(story)
    backward = await library.ask("", "o0", direction=BACKWARD)
    assert own(backward) == {
        ".inputs.x -> n0 (a)",
        "n0.inputs.b -> n0 (b)",
        "n0 -> n0.outputs.o0 (o0)",
        "n0.outputs.o0 -> n1 (a)",
        "n1 -> n1.outputs.o0 (o0)",
    }
    assert own(await library.ask("n0", "o1", direction=FORWARD)) == {
        "n0.outputs.o1 -> n2 (a)",
        "n2 -> n2.outputs.o0 (o0)",
    }
    forward = await library.ask(direction=FORWARD, side="inputs")
    assert ids(forward.steps) == {f"{NAME}/n0", f"{NAME}/n1", f"{NAME}/n2"}
    assert [artifact.shown for artifact in forward.artifacts][:2] == ["1", "2"]


async def test_what_subworkflows_branches_and_gates_pass_on_was_made_elsewhere() -> None:
    inner = Flow("inner").task("n0", {"a": From("", "x")}).returns(o0=From("n0"), same=From("", "x"), fixed=5)
    flow = (
        Flow()
        .task("n0", {"a": From("", "x")})
        .sub("n1", inner, {"x": From("n0")})
        .branch(
            "n2",
            (when(From("n0"), "GT", 0), Flow("then").task("then", {"a": From("n1", "same")})),
            otherwise=Flow("else").task("else", {"a": From("n1")}),
        )
        .approves("n3", "fine", From("n2"))
        .waits("n4", "number")
        .task("n5", {"a": From("n3"), "b": From("n4"), "c": From("n1", "fixed")})
    )
    story = Story(flow, {"x": 1})
    story.start()
    story.succeeds("n0", outputs={"o0": 3})
    story.succeeds("n1-0-n0", outputs={"o0": 4})
    story.succeeds("n2-0-n2-then", outputs={"o0": 5})
    story.sets("fine", True)
    story.sets("number", 8)
    story.succeeds("n5", outputs={"o0": 6})
    assert story.phase == "SUCCEEDED"
    graph = await Library(story).ask("n5", "o0", direction=BACKWARD)
    assert own(graph) == {
        "n5 -> n5.outputs.o0 (o0)",
        "n2-0-n2-then.outputs.o0 -> n5 (a)",
        "n4.outputs.o0 -> n5 (b)",
        "n1.outputs.fixed -> n5 (c)",
        "n4 -> n4.outputs.o0 (o0)",
        "n2-0-n2-then -> n2-0-n2-then.outputs.o0 (o0)",
        "n0.outputs.o0 -> n2-0-n2-then (a)",
        "n0 -> n0.outputs.o0 (o0)",
        ".inputs.x -> n0 (a)",
    }
    assert {step.id.rpartition("/")[2]: step.how for step in graph.steps} == {
        "n0": "ran",
        "n2-0-n2-then": "ran",
        "n4": "signalled",
        "n5": "ran",
    }


async def test_elements_of_a_map_are_steps_of_their_own() -> None:
    flow = (
        Flow()
        .map("n0", {"a": From("", "xs"), "b": 9}, bound=("b",))
        .task("n1", {"all": From("n0"), "one": From("n0", path=(1,))})
    )
    story = Story(flow, {"xs": [1, 2]})
    story.start()
    story.succeeds("n0-0-n0", outputs={"o0": 10})
    story.succeeds("n0-0-n1", outputs={"o0": 20})
    story.succeeds("n1")
    library = Library(story)
    assert own(await library.ask("n1", "o0", direction=BACKWARD)) == {
        "n1 -> n1.outputs.o0 (o0)",
        "n0-0-n0.outputs.o0 -> n1 (all[0])",
        "n0-0-n1.outputs.o0 -> n1 (all[1])",
        "n0-0-n1.outputs.o0 -> n1 (one)",
        "n0-0-n0 -> n0-0-n0.outputs.o0 (o0)",
        "n0-0-n1 -> n0-0-n1.outputs.o0 (o0)",
        ".inputs.xs -> n0-0-n0 (a <- [0])",
        ".inputs.xs -> n0-0-n1 (a <- [1])",
        "n0.inputs.b -> n0-0-n0 (b)",
        "n0.inputs.b -> n0-0-n1 (b)",
    }
    element = await library.ask("n0-0-n0", "o0", direction=FORWARD)
    assert own(element) == {"n0-0-n0.outputs.o0 -> n1 (all[0])", "n1 -> n1.outputs.o0 (o0)"}


async def test_large_map_is_one_step() -> None:
    flow = Flow().map("n0", {"a": From("", "xs")}).task("n1", {"one": From("n0", path=(3,))})
    story = Story(flow, {"xs": list(range(20))})
    story.start()
    for index in range(20):
        story.succeeds(f"n0-0-n{index}", outputs={"o0": index})
    story.succeeds("n1")
    library = Library(story)
    graph = await library.ask("n1", "o0", direction=BACKWARD)
    assert own(graph) == {
        "n1 -> n1.outputs.o0 (o0)",
        "n0.outputs.o0 -> n1 (one <- [3])",
        "n0 -> n0.outputs.o0 (o0)",
        ".inputs.xs -> n0 (a)",
    }
    assert {step.id.rpartition("/")[2]: step.elements for step in graph.steps} == {"n0": 20, "n1": 0}
    assert own(await library.ask("n0-0-n3", "o0", direction=FORWARD)) == {
        "n0.outputs.o0 -> n1 (one <- [3])",
        "n1 -> n1.outputs.o0 (o0)",
    }


async def test_dynamic_task_made_what_it_gave_to_the_nodes_it_asked_for() -> None:
    flow = Flow().task("n0", {"a": From("", "x")}).task("n1", {"a": From("n0")})
    story = Story(flow, {"x": 1})
    story.start()
    story.asks("n0", Flow("asked").task("m0", {"a": 4}).task("m1", {"a": From("m0")}).returns(o0=From("m1")))
    story.succeeds("n0-0-m0", outputs={"o0": 5})
    story.succeeds("n0-0-m1", outputs={"o0": 6})
    story.succeeds("n1")
    library = Library(story)
    backward = own(await library.ask("n1", "o0", direction=BACKWARD))
    assert backward == {
        "n1 -> n1.outputs.o0 (o0)",
        "n0-0-m1.outputs.o0 -> n1 (a)",
        "n0-0-m1 -> n0-0-m1.outputs.o0 (o0)",
        "n0-0-m0.outputs.o0 -> n0-0-m1 (a)",
        "n0-0-m0 -> n0-0-m0.outputs.o0 (o0)",
        "n0-0-m0.inputs.a -> n0-0-m0 (a)",
        "n0 -> n0-0-m0.inputs.a (n0-0-m0.a)",
        ".inputs.x -> n0 (a)",
    }
    assert own(await library.ask("", "x", direction=FORWARD)) == backward


async def test_retried_node_counts_with_its_last_attempt() -> None:
    flow = Flow().task("n0", {"a": From("", "x")}, retries=1).task("n1", {"a": From("n0")})
    story = Story(flow, {"x": 1})
    story.start()
    story.fails("n0", recoverable=True)
    story.succeeds("n0", attempt=1, outputs={"o0": 2})
    story.succeeds("n1")
    graph = await Library(story).ask("n1", "o0", direction=BACKWARD)
    assert ids(graph.steps) == {f"{NAME}/n0", f"{NAME}/n1"}


async def test_failed_node_has_taken_its_inputs() -> None:
    story = Story(Flow().task("n0", {"a": From("", "x")}), {"x": 1})
    story.start()
    story.fails("n0")
    library = Library(story)
    graph = await library.ask("n0")
    assert own(graph) == {".inputs.x -> n0 (a)"}
    assert [step.phase for step in graph.steps] == ["FAILED"]


def made_file() -> tuple[Story, str]:
    """An execution whose node puts a file where its attempt's data belongs."""
    story = told(Flow().task("n0", {"a": From("", "x")}).returns(o0=From("n0")), "first", {"x": 1})
    story.start()
    uri = f"{story.last(facts.AttemptScheduled).raw_output_prefix}/abc/data.csv"
    story.succeeds("n0", outputs={"o0": file(uri)})
    return story, uri


async def test_file_leads_from_one_execution_to_another() -> None:
    first, uri = made_file()
    second = told(Flow().task("n0", {"f": From("", "f")}), "second", {"f": file(uri), "other": file("s3://else/x")})
    second.start()
    second.succeeds("n0")
    library = Library(first, second)
    whole = {
        "first.inputs.x -> first/n0 (a)",
        "first/n0 -> first/n0.outputs.o0 (o0)",
        "first/n0.outputs.o0 -> second (f)",
        "second -> second.inputs.f (f)",
        "second.inputs.f -> second/n0 (f)",
        "second/n0 -> second/n0.outputs.o0 (o0)",
    }
    assert lines(await library.ask("n0", "o0", execution="second", direction=BACKWARD)) == whole
    assert lines(await library.ask("", "x", execution="first", direction=FORWARD)) == whole
    at = await library.ask(uri=uri)
    assert lines(at) == whole
    assert [(one.id, one.kind, one.uri) for one in at.artifacts if one.asked] == [
        ("p/d/first/n0.outputs.o0", "file", uri)
    ]
    outside = await library.ask(uri="s3://else/x")
    assert ids(outside.artifacts) == {"second.inputs.other"}
    with pytest.raises(NothingKnown):
        await library.ask(uri="s3://nowhere/at/all")


async def test_folder_holds_the_files_in_it() -> None:
    first = told(Flow().task("n0"), "first")
    first.start()
    prefix = first.last(facts.AttemptScheduled).raw_output_prefix
    first.succeeds("n0", outputs={"o0": folder(f"{prefix}/dir"), "o1": frame(f"{prefix}/frame")})
    second = told(
        Flow().task("n0", {"f": From("", "f"), "g": From("", "g")}),
        "second",
        {"f": file(f"{prefix}/dir/part-0"), "g": [file(f"{prefix}/aside.txt"), frame(f"{prefix}/frame")]},
    )
    second.start()
    graph = await Library(first, second).ask("n0", execution="second", direction=BACKWARD)
    assert {
        "first/n0.outputs.o0 -> second (f)",
        "first/n0.outputs.o1 -> second (g[1])",
        f"{prefix}/aside.txt -> second (g[0])",
        f"first/n0 -> {prefix}/aside.txt ({prefix}/aside.txt)",
    } <= lines(graph)
    forward = lines(await Library(first, second).ask("n0", "o0", execution="first", direction=FORWARD))
    assert "first/n0.outputs.o0 -> second (f)" in forward
    assert not any("(g" in line and "first" in line for line in forward)


async def test_what_is_given_on_belongs_to_the_last_who_gave_it() -> None:
    """A task writes to a place of its own choosing; another execution overwrites it."""
    fixed = "s3://lake/table"
    stories = []
    for name in ("early", "late"):
        story = told(Flow().task("n0"), name)
        story.start()
        story.succeeds("n0", outputs={"o0": file(fixed)})
        reader = told(Flow().task("n0", {"f": From("", "f")}), f"after-{name}", {"f": file(fixed)})
        reader.start()
        stories += [story, reader]
    library = Library(*stories)
    assert ids((await library.ask("", "f", execution="after-early")).steps) == {
        "early/n0",
        "after-early",
        "after-early/n0",
    }
    assert ids((await library.ask("n0", execution="late", direction=FORWARD)).steps) == {"after-late", "after-late/n0"}


async def test_constant_of_a_workflow_leads_to_who_made_it() -> None:
    first, uri = made_file()
    second = told(Flow().task("n0", {"f": file(uri)}), "second")
    second.start()
    library = Library(first, second)
    expected = {
        "first/n0.outputs.o0 -> second (n0.f)",
        "second -> second/n0.inputs.f (n0.f)",
        "second/n0.inputs.f -> second/n0 (f)",
    }
    assert expected <= lines(await library.ask("n0", execution="second"))
    assert expected <= lines(await library.ask("n0", execution="first", direction=FORWARD))


async def test_task_may_give_on_what_it_was_not_given() -> None:
    first, uri = made_file()
    second = told(Flow().task("n0"), "second")
    second.start()
    second.succeeds("n0", outputs={"o0": file(uri)})
    library = Library(first, second)
    expected = {"first/n0.outputs.o0 -> second/n0 ()", "second/n0 -> second/n0.outputs.o0 (o0)"}
    assert expected <= lines(await library.ask("n0", execution="second", direction=BACKWARD))
    assert expected <= lines(await library.ask("n0", execution="first", direction=FORWARD))


async def test_child_execution_goes_between_the_nodes_of_its_parent() -> None:
    parent = told(Flow().task("n0").launches("n1", {"x": From("n0")}).task("n2", {"a": From("n1")}), "parent")
    parent.start()
    parent.succeeds("n0", outputs={"o0": 4})
    asked = parent.last(facts.ChildExecutionRequested)
    parent.child_succeeds("n1", outputs={"o0": 5})
    parent.succeeds("n2")

    def change(created: facts.ExecutionCreated) -> None:
        created.id.CopyFrom(asked.execution_id)
        created.parent.node.execution_id.name = "parent"
        created.parent.node.execution_id.project, created.parent.node.execution_id.domain = "p", "d"
        created.parent.node.node_id = "n1"

    child = Story(Flow("child").task("m0", {"a": From("", "x")}).returns(o0=From("m0")), {"x": 4}, change=change)
    child.start()
    child.succeeds("m0", outputs={"o0": 5})
    library = Library(parent, child)
    name = asked.execution_id.name
    whole = {
        "parent/n0 -> parent/n0.outputs.o0 (o0)",
        f"parent/n0.outputs.o0 -> {name} (x)",
        f"{name} -> {name}.inputs.x (x)",
        f"{name}.inputs.x -> {name}/m0 (a)",
        f"{name}/m0 -> {name}/m0.outputs.o0 (o0)",
        f"{name}/m0.outputs.o0 -> parent/n2 (a)",
        "parent/n2 -> parent/n2.outputs.o0 (o0)",
    }
    assert lines(await library.ask("n2", execution="parent", direction=BACKWARD)) == whole
    forward = lines(await library.ask("n0", execution="parent", direction=FORWARD))
    assert forward == whole - {"parent/n0 -> parent/n0.outputs.o0 (o0)"}
    assert lines(await library.ask("m0", execution=name)) == whole


async def test_recovered_node_leads_to_the_one_that_ran() -> None:
    first = told(Flow().task("n0", {"a": From("", "x")}).task("n1", {"a": From("n0")}), "first", {"x": 1})
    first.start()
    first.succeeds("n0", outputs={"o0": 2})
    first.fails("n1")
    again = first.recovered()
    again.start()
    again.succeeds("n1")
    name = "rfirs"
    library = Library(first, again)
    backward = await library.ask("n1", execution=name, direction=BACKWARD)
    assert lines(backward) == {
        "first.inputs.x -> first/n0 (a)",
        "first/n0 -> first/n0.outputs.o0 (o0)",
        f"first/n0.outputs.o0 -> {name}/n0 (o0)",
        f"{name}/n0 -> {name}/n0.outputs.o0 (o0)",
        f"{name}/n0.outputs.o0 -> {name}/n1 (a)",
        f"{name}/n1 -> {name}/n1.outputs.o0 (o0)",
    }
    assert {step.id.removeprefix("p/d/"): step.how for step in backward.steps}[f"{name}/n0"] == "recovered"
    forward = lines(await library.ask("", "x", execution="first", direction=FORWARD))
    assert lines(backward) | {"first/n0.outputs.o0 -> first/n1 (a)"} == forward


async def test_who_took_the_results_of_an_execution_is_looked_up_once() -> None:
    """However many of them somebody asks about."""
    count, flow = 20, Flow()
    for number in range(count):
        flow.task(f"n{number}", {"a": From("", "x")})
    flow.task("last", {"a": 1}, after=[f"n{number}" for number in range(count)])
    first = told(flow, "first", {"x": 1})
    first.start()
    for number in range(count):
        first.succeeds(f"n{number}")
    first.fails("last")
    again = first.recovered()
    again.start()
    library = Library(first, again)
    graph = await library.ask("", "x", execution="first", direction=FORWARD)
    assert {f"first/n{number}.outputs.o0 -> rfirs/n{number} (o0)" for number in range(count)} <= lines(graph)
    assert library.reads < 10 * count


async def test_depth_and_size_are_limited() -> None:
    flow = Flow()
    for number in range(10):
        flow.task(f"n{number}", {"a": From(f"n{number - 1}") if number else From("", "x")})
    story = Story(flow, {"x": 1})
    story.start()
    for number in range(10):
        story.succeeds(f"n{number}")
    library = Library(story)
    two = await library.ask("n5", direction=BACKWARD, depth=2)
    assert ids(two.steps) == {f"{NAME}/n5", f"{NAME}/n4"}
    assert two.truncated
    assert not (await library.ask("n0", direction=BACKWARD, depth=1)).truncated
    small = await library.ask("n5", size=4)
    assert small.truncated
    assert len(small.artifacts) + len(small.steps) == 4
    known = ids(small.artifacts) | ids(small.steps)
    assert all({getattr(edge, "from")[4:], edge.to[4:]} <= known for edge in small.edges)
    whole = await library.ask()
    assert not whole.truncated
    assert len(whole.steps) == 10


async def test_what_does_not_exist_is_not_known() -> None:
    story = Story(Flow().task("n0"))
    story.start()
    library = Library(story)
    for node, variable, execution in (("", "", "nobody"), ("n9", "", NAME), ("n0", "o7", NAME), ("", "q", NAME)):
        with pytest.raises(NothingKnown):
            await library.ask(node, variable, execution=execution)
