"""Whatever a workflow looks like: what leads forward leads back, and every graph is whole and can be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flightlog_cli.lineage.drawing import svg
from flightlog_cli.lineage.telling import trees
from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph
from flightlog_protos.execution.v1 import facts_pb2 as facts
from tests.unit.catalog.lineage.library import BACKWARD, FORWARD, Library, file, told
from tests.unit.engine.story import Flow, From, Story

TEXT = st.text(max_size=40)


@st.composite
def flows(draw: st.DrawFn, depth: int = 2) -> Flow:
    """Nodes that take from the inputs, from constants and from earlier nodes."""
    flow = Flow(f"f{draw(st.integers(0, 10**9))}" if depth < 2 else "main")
    known: list[Any] = [From("", "x"), From("", "xs"), 7]
    for number in range(draw(st.integers(1, 4))):
        node = f"n{number}"
        source = draw(st.sampled_from(known))
        match draw(st.sampled_from(["task", "task", "echo", "list", "map", "sub", "dynamic"])):
            case "echo":
                flow.echo(node, source)
            case "list":
                flow.task(node, {"a": [source, draw(st.sampled_from(known))], "b": 3})
            case "map":
                flow.map(node, {"a": From("", "xs"), "b": source}, bound=("b",))
            case "sub" if depth:
                flow.sub(node, draw(flows(depth=depth - 1)), {"x": source, "xs": From("", "xs")})
            case _:
                flow.task(node, {"a": source})
        known.append(From(node))
    return flow.returns(o0=known[-1], x=From("", "x"))


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """An execution on its way: tasks make files, ask for nodes, fail, or are not done yet."""
    story = told(draw(flows()), "any", {"x": file("s3://given/x"), "xs": [1, 2]})
    story.start()
    for _ in range(draw(st.integers(0, 12))):
        assert story.state is not None
        live = [name for name, node in story.state.nodes.items() if node.live_attempt is not None]
        if not live or story.state.phase.terminal:
            break
        node = draw(st.sampled_from(sorted(live)))
        match draw(st.sampled_from(["value", "value", "file", "ask", "fail"])):
            case "file":
                prefix = story.last(facts.AttemptScheduled, node_id=node).raw_output_prefix
                story.succeeds(node, outputs={"o0": file(f"{prefix}/made")})
            case "ask" if story.state.nodes[node].element is None:
                asked = Flow("asked").task("m0", {"a": 5}).task("m1", {"a": From("m0")}).returns(o0=From("m1"))
                story.asks(node, asked)
            case "fail":
                story.fails(node)
            case _:
                story.succeeds(node, outputs={"o0": draw(TEXT)})
    return story


def between(graph: LineageGraph) -> set[tuple[str, str, str]]:
    return {(getattr(edge, "from"), edge.to, edge.variable) for edge in graph.edges}


@settings(max_examples=40, deadline=None)
@given(stories())
async def test_what_leads_forward_leads_back(story: Story) -> None:
    library = Library(story)
    whole = await library.ask(execution="any")
    known = {one.id for one in whole.artifacts} | {one.id for one in whole.steps}
    assert len(known) == len(whole.artifacts) + len(whole.steps)
    steps = {step.id for step in whole.steps}
    for source, target, _ in between(whole):
        assert {source, target} <= known
        assert (source in steps) != (target in steps)
    assert ET.fromstring(svg(whole)).tag.endswith("svg")
    assert svg(whole) == svg(await library.ask(execution="any"))
    assert len(trees(whole)) == sum(artifact.asked for artifact in whole.artifacts)
    for artifact in whole.artifacts:
        where = artifact.reference
        forward = await library.ask(
            where.node.node_id, where.variable, execution="any", side=where.side, direction=FORWARD
        )
        if {one.id for one in forward.artifacts if one.asked} != {artifact.id}:
            continue  # A constant within a value, which has no name of its own.
        for end in forward.artifacts:
            if end.reference.side == "outputs" and end.id != artifact.id:
                back = await library.ask(
                    end.reference.node.node_id,
                    end.reference.variable,
                    execution="any",
                    side="outputs",
                    direction=BACKWARD,
                )
                assert artifact.id in {one.id for one in back.artifacts}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), TEXT), max_size=60),
    st.lists(TEXT, min_size=31, max_size=31),
)
def test_any_graph_can_be_drawn(edges: list[tuple[int, int, str]], texts: list[str]) -> None:
    """Even one that goes in circles, with whatever text in it."""
    graph = LineageGraph(truncated=bool(edges))
    for number, text in enumerate(texts):
        if number % 2:
            step = graph.steps.add(id=f"b{number}", how="ran", phase="FAILED")
            step.node.node_id, step.node.execution_id.name, step.entity.name = text, text, text
        else:
            artifact = graph.artifacts.add(id=f"b{number}", kind="literal", shown=text, uri=text, asked=not number % 3)
            artifact.reference.variable, artifact.reference.node.execution_id.name = text, text
    for first, then, text in edges:
        if (first + then) % 2:
            graph.edges.add(**{"from": f"b{first}", "to": f"b{then}", "variable": text})
    drawn = svg(graph)
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert svg(graph) == drawn
