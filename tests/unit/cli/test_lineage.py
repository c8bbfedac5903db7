"""Lineage as a person sees it: which words of an artifact are what, trees, and pictures."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from flightlog_cli.commands.lineage import document, parsed
from flightlog_cli.embedded.child import StackError
from flightlog_cli.lineage.drawing import svg
from flightlog_cli.lineage.layers import laid_out
from flightlog_cli.lineage.telling import trees
from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        ("run", ("run", "", "", "")),
        ("p/d/run", ("p/d/run", "", "", "")),
        ("run/n0", ("run", "n0", "", "")),
        ("p/d/run/n0", ("p/d/run", "n0", "", "")),
        ("run/n0.o0", ("run", "n0", "", "o0")),
        ("run/n0.inputs.a", ("run", "n0", "inputs", "a")),
        ("run/n0.outputs", ("run", "n0", "outputs", "")),
        ("run/.o0", ("run", "", "", "o0")),
    ],
)
def test_artifact_is_named_by_execution_node_and_variable(artifact: str, expected: tuple[str, ...]) -> None:
    assert parsed(artifact) == expected


def test_what_is_no_artifact_is_refused() -> None:
    with pytest.raises(StackError):
        parsed("a/b/c/d/e")


def graph() -> LineageGraph:
    """Two values that pass through the start of an execution, each under its name."""
    made = LineageGraph()
    for number, (name, execution, node, kind) in enumerate(
        [
            ("o0", "first", "n0", "file"),
            ("o1", "first", "n0", "frame"),
            ("f", "second", "", "file"),
            ("g", "second", "", "frame"),
        ]
    ):
        artifact = made.artifacts.add(
            id=f"a{number}", kind=kind, uri=f"s3://x/<{number}>&", shown="it", asked=number == 2
        )
        artifact.reference.variable, artifact.reference.side = name, "outputs" if node else "inputs"
        artifact.reference.node.node_id, artifact.reference.node.execution_id.name = node, execution
    step = made.steps.add(id="s", how="started", phase="SUCCEEDED")
    step.node.execution_id.name = "second"
    maker = made.steps.add(id="m", how="ran", phase="FAILED", elements=40)
    maker.node.execution_id.name, maker.node.node_id = "first", "n0"
    maker.entity.name = "pkg.map_double_6b3bd0353da5de6e84d7982921ead2b3-arraynode"
    for source, target, variable in [
        ("m", "a0", "o0"),
        ("m", "a1", "o1"),
        ("a0", "s", "f <- [2].path"),
        ("a1", "s", "g"),
        ("s", "a2", "f"),
        ("s", "a3", "g"),
    ]:
        made.edges.add(**{"from": source, "to": target, "variable": variable})
    return made


def test_tree_follows_each_value_under_its_name() -> None:
    written = io.StringIO()
    console = Console(width=200, file=written)
    for tree in trees(graph()):
        console.print(tree)
    text = written.getvalue()
    assert "execution second" in text
    assert "f <- [2].path: first/n0.o0" in text
    assert "o1" not in text
    assert "pkg.map_double  ran, failed, 40 elements" in text


def test_picture_shows_everything_once_and_is_well_formed() -> None:
    drawn = ET.fromstring(svg(graph()))
    texts = [found.text or "" for found in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"inputs.f", "inputs.g", "n0.o0", "n0.o1", "n0", "execution second", "first", "second"} <= set(texts)
    assert len([found for found in drawn.iter("{http://www.w3.org/2000/svg}path") if found.get("class") == "edge"]) == 6
    assert not any("map_double_" in text for text in texts)


def test_document_has_all_fields() -> None:
    (first, *_) = document(graph())["edges"]
    assert first == {"from": "m", "to": "a0", "variable": "o0"}
    assert document(graph())["truncated"] is False


def test_boxes_stand_right_of_what_they_get_and_do_not_overlap() -> None:
    heights = {f"b{number}": 20.0 + number for number in range(12)}
    edges = [
        (f"b{first}", f"b{then}") for first in range(12) for then in range(first + 1, 12) if (first * then) % 3 == 1
    ]
    layout = laid_out(heights, edges, gap=10, bend=4)
    for first, then in edges:
        assert layout.boxes[first].column < layout.boxes[then].column
        route = layout.routes[first, then]
        assert [place.column for place in route] == list(range(route[0].column, route[-1].column + 1))
    for one, place in layout.boxes.items():
        for other, beside in layout.boxes.items():
            if one < other and place.column == beside.column:
                assert abs(place.middle - beside.middle) >= (heights[one] + heights[other]) / 2 + 10 - 1e-6
    assert all(0 <= place.middle <= layout.height for place in layout.boxes.values())
