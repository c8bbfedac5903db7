"""A graph of lineage as SVG: artifacts are rounded boxes, steps square ones, the data goes from left to right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from flightlog_cli.lineage.layers import Layout, Place, laid_out
from flightlog_cli.lineage.naming import Names, shortened
from flightlog_protos.catalog.v1.lineage_service_pb2 import LineageGraph

_COLUMN: Final = 216
_BETWEEN: Final = 84
_LINE: Final = 15
_PADDING: Final = 8
_GAP: Final = 18.0
_BEND: Final = 6.0
_MARGIN: Final = 24
_LETTERS: Final = 32
_LABEL_LETTERS: Final = 14
_HEADER: Final = 20
# One for each execution, in the order in which they appear; then from the beginning.
_COLOURS: Final = ("#2563eb", "#b45309", "#047857", "#be185d", "#6d28d9", "#0e7490", "#4d7c0f", "#b91c1c")
_FAILED: Final = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
_STYLE: Final = """
text { font: 11px ui-sans-serif, "Helvetica Neue", Arial, sans-serif; fill: #1f2937; }
text.name { font-weight: 600; }
text.small { font-size: 10px; fill: #6b7280; }
text.label { font-size: 9px; fill: #6b7280; }
path.edge { fill: none; stroke: #9ca3af; stroke-width: 1.2; }
"""


def svg(graph: LineageGraph) -> str:
    """The picture as one SVG document, the same for the same graph. Nothing in it is fetched or run to show it."""
    names = Names(graph)
    texts = {box.id: _artifact_lines(names, box) for box in graph.artifacts}
    texts |= {box.id: _step_lines(names, box) for box in graph.steps}
    heights = {box: 2 * _PADDING + _LINE * len(lines) for box, lines in texts.items()}
    edges = [(getattr(edge, "from"), edge.to) for edge in graph.edges]
    layout = laid_out(heights, edges, gap=_GAP, bend=_BEND)
    legend = _HEADER * len(names.executions) + _HEADER
    width = 2 * _MARGIN + max(1, layout.columns) * _COLUMN + max(0, layout.columns - 1) * _BETWEEN
    height = 2 * _MARGIN + layout.height + legend
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names.executions)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" role="img">',
        f"<title>{_text(_title(graph))}</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#9ca3af"/></marker></defs>',
        f'<rect width="{width}" height="{height:.0f}" fill="#ffffff"/>',
        *_edges(graph, layout, heights),
    ]
    for artifact in graph.artifacts:
        colour = colours[names.execution_of(artifact.id)]
        parts += _artifact(artifact, layout.boxes[artifact.id], heights[artifact.id], texts[artifact.id], colour)
    for step in graph.steps:
        colour = colours[names.execution_of(step.id)]
        parts += _step(step, layout.boxes[step.id], heights[step.id], texts[step.id], colour)
    parts += _legend(graph, colours, 2 * _MARGIN + layout.height)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _title(graph: LineageGraph) -> str:
    asked = [artifact.id for artifact in graph.artifacts if artifact.asked]
    return f"Lineage of {', '.join(asked[:3])}{' …' if len(asked) > 3 else ''}"


def _artifact_lines(names: Names, artifact: LineageGraph.Artifact) -> list[str]:
    lines = [names.artifact(artifact), artifact.kind]
    if artifact.shown and artifact.reference.variable:
        lines.append(artifact.shown)
    return lines


def _step_lines(names: Names, step: LineageGraph.Step) -> list[str]:
    how = step.how + (f", {step.elements} elements" if step.elements else "")
    return [names.step(step), names.entity(step), f"{how}, {step.phase.lower()}"]


def _artifact(
    artifact: LineageGraph.Artifact, place: Place, height: float, lines: list[str], colour: str
) -> Iterable[str]:
    weight = 2.5 if artifact.asked else 1
    tip = f"{artifact.id}\n{artifact.uri or artifact.shown}"
    yield from _box(place, height, lines, tip, f'rx="14" fill="#f9fafb" stroke="{colour}" stroke-width="{weight}"')


def _step(step: LineageGraph.Step, place: Place, height: float, lines: list[str], colour: str) -> Iterable[str]:
    dashes = "" if step.how in ("ran", "started") else ' stroke-dasharray="5 3"'
    fill = "#fee2e2" if step.phase in _FAILED else "#eef2ff"
    yield from _box(place, height, lines, step.id, f'rx="2" fill="{fill}" stroke="{colour}" stroke-width="1.5"{dashes}')


def _box(place: Place, height: float, lines: list[str], tip: str, shape: str) -> Iterable[str]:
    left, top = _left(place), _MARGIN + place.middle - height / 2
    yield f"<g><title>{_text(tip)}</title>"
    yield f'<rect x="{left}" y="{top:.1f}" width="{_COLUMN}" height="{height:.1f}" {shape}/>'
    for number, line in enumerate(lines):
        kind = "name" if number == 0 else "small"
        baseline = top + _PADDING + _LINE * number + 11
        shown = _text(shortened(line, _LETTERS if number == 0 else _LETTERS + 3))
        yield f'<text class="{kind}" x="{left + 10}" y="{baseline:.1f}">{shown}</text>'
    yield "</g>"


def _edges(graph: LineageGraph, layout: Layout, heights: Mapping[str, float]) -> Iterable[str]:
    labels: dict[tuple[str, str], list[str]] = {}
    for edge in graph.edges:
        labels.setdefault((getattr(edge, "from"), edge.to), []).append(edge.variable)
    steps = {step.id for step in graph.steps}
    routes = _entering_apart(layout, heights)
    for ends, said in labels.items():
        route = routes.get(ends)
        if route is None:
            continue
        yield f"<g><title>{_text(', '.join(said))}</title>"
        yield f'<path class="edge" d="{_path(route)}" marker-end="url(#end)"/>'
        # What a step makes is named where it is made, what it takes where that goes in.
        if ends[1] in steps:
            x, y = _left(route[-1]) - 10, _MARGIN + route[-1].middle - 3
            yield f'<text class="label" x="{x}" y="{y:.1f}" text-anchor="end">{_text(_label(said))}</text>'
        yield "</g>"


def _entering_apart(layout: Layout, heights: Mapping[str, float]) -> dict[tuple[str, str], tuple[Place, ...]]:
    """The routes, with their ends spread over the heights of the boxes they end at, uppermost first."""
    entering: dict[str, list[tuple[str, str]]] = {}
    for ends in layout.routes:
        entering.setdefault(ends[1], []).append(ends)
    routes = dict(layout.routes)
    for box, all_ends in entering.items():
        all_ends.sort(key=lambda ends: (layout.routes[ends][-2].middle, ends))
        for number, ends in enumerate(all_ends, start=1):
            *before, last = layout.routes[ends]
            offset = heights[box] * (number / (len(all_ends) + 1) - 0.5)
            routes[ends] = (*before, Place(last.column, last.middle + offset))
    return routes


def _label(said: list[str]) -> str:
    return shortened(", ".join(one for one in said if one), _LABEL_LETTERS)


def _path(route: tuple[Place, ...]) -> str:
    first = route[0]
    parts = [f"M{_left(first) + _COLUMN} {_MARGIN + first.middle:.1f}"]
    for number, (here, then) in enumerate(pairwise(route), start=1):
        ends = number == len(route) - 1
        x0, x1 = _left(here) + _COLUMN, _left(then)
        y0, y1 = _MARGIN + here.middle, _MARGIN + then.middle
        half = (x1 - x0) / 2
        parts.append(f"C{x0 + half:.0f} {y0:.1f} {x1 - half:.0f} {y1:.1f} {x1} {y1:.1f}")
        if not ends:
            parts.append(f"H{x1 + _COLUMN}")
    return " ".join(parts)


def _legend(graph: LineageGraph, colours: Mapping[str, str], top: float) -> Iterable[str]:
    for number, (name, colour) in enumerate(colours.items()):
        y = top + _HEADER * number
        yield f'<rect x="{_MARGIN}" y="{y:.1f}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{_MARGIN + 18}" y="{y + 10:.1f}">{_text(name)}</text>'
    if graph.truncated:
        y = top + _HEADER * len(colours) + 10
        yield f'<text class="small" x="{_MARGIN}" y="{y:.1f}">There is more than is shown.</text>'


def _left(place: Place) -> int:
    return _MARGIN + place.column * (_COLUMN + _BETWEEN)


def _text(text: str) -> str:
    """The text as XML can have it: it knows few control characters."""
    return escape("".join(letter if letter >= " " or letter in "\n\t" else "\ufffd" for letter in text))
