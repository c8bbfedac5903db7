"""Points in time as lines, areas and bars of SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

from flightlog_dashboards.answers import Series
from flightlog_dashboards.macros import Shown
from flightlog_dashboards.units import shown as in_unit

COLOURS: Final = (
    "#2563eb",
    "#d97706",
    "#059669",
    "#db2777",
    "#7c3aed",
    "#0891b2",
    "#65a30d",
    "#dc2626",
    "#475569",
    "#a16207",
)
_LEGEND_LINE: Final = 13
_LEGEND_LINES: Final = 3
_LETTER: Final = 6.0
_AXIS: Final = 46
_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle to draw in."""

    x: float
    y: float
    width: float
    height: float


def plot(series: Sequence[Series], area: Area, shown: Shown, unit: str, *, stacked: bool, bars: bool) -> Iterator[str]:
    """The series of a panel over the time shown, with axes and a legend below."""
    drawn = [one for one in series if one.points]
    drawn = sorted(drawn, key=lambda one: max(value for _, value in one.points), reverse=True)[:_MOST]
    legend = list(_legend([one.name for one in drawn], area))
    plotted = Area(area.x + _AXIS, area.y, area.width - _AXIS - 6, area.height - 16 - _LEGEND_LINE * len(legend))
    stacks = list(_stacked(drawn, shown)) if stacked else [_Stack(one, {}) for one in drawn]
    top = _top(max((stack.top for stack in stacks), default=0.0))
    yield from _axes(plotted, shown, top, unit)
    scale = _Scale(plotted, shown, top)
    for number, stack in enumerate(stacks):
        colour = COLOURS[number % len(COLOURS)]
        yield from _bars(stack, scale, colour) if bars else _line(stack, scale, colour)
    for line, parts in enumerate(legend):
        y = area.y + area.height - _LEGEND_LINE * (len(legend) - 1 - line) - 2
        for x, number, name in parts:
            yield f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="8" height="8" fill="{COLOURS[number % len(COLOURS)]}"/>'
            yield f'<text class="small" x="{x + 11:.0f}" y="{y:.0f}">{escape(name)}</text>'


@dataclass(frozen=True, slots=True)
class _Stack:
    series: Series
    below: dict[float, float]

    @property
    def top(self) -> float:
        return max(value + self.below.get(at, 0.0) for at, value in self.series.points)


@dataclass(frozen=True, slots=True)
class _Scale:
    area: Area
    shown: Shown
    top: float

    def x(self, at: float) -> float:
        return self.area.x + (at - self.shown.start) / (self.shown.end - self.shown.start) * self.area.width

    def y(self, value: float) -> float:
        return self.area.y + self.area.height * (1 - max(0.0, value) / self.top)


def _stacked(series: Sequence[Series], shown: Shown) -> Iterator[_Stack]:
    heights: dict[float, float] = {}
    for one in series:
        below = {at: heights.get(at, 0.0) for at, _ in one.points}
        for at, value in one.points:
            heights[at] = heights.get(at, 0.0) + value
        yield _Stack(one, below)


def _line(stack: _Stack, scale: _Scale, colour: str) -> Iterator[str]:
    """A line, broken where there are no points."""
    runs: list[list[tuple[float, float]]] = []
    for at, value in stack.series.points:
        if not runs or at - runs[-1][-1][0] > 3 * scale.shown.interval:
            runs.append([])
        runs[-1].append((at, value + stack.below.get(at, 0.0)))
    for run in runs:
        path = " ".join(f"{scale.x(at):.0f},{scale.y(value):.0f}" for at, value in run)
        if len(run) == 1:
            x, y = path.split(",")
            yield f'<circle cx="{x}" cy="{y}" r="1.5" fill="{colour}"/>'
        else:
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _bars(stack: _Stack, scale: _Scale, colour: str) -> Iterator[str]:
    width = max(1.5, scale.area.width * scale.shown.interval / (scale.shown.end - scale.shown.start) * 0.85)
    for at, value in stack.series.points:
        below = stack.below.get(at, 0.0)
        y = scale.y(below + value)
        x = max(scale.area.x, scale.x(at))
        height = scale.y(below) - y
        yield f'<rect x="{x:.0f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _axes(area: Area, shown: Shown, top: float, unit: str) -> Iterator[str]:
    for part in (0.0, 0.5, 1.0):
        y = area.y + area.height * (1 - part)
        yield f'<line class="grid" x1="{area.x:.0f}" y1="{y:.0f}" x2="{area.x + area.width:.0f}" y2="{y:.0f}"/>'
        text = in_unit(top * part, unit)
        yield f'<text class="axis" x="{area.x - 4:.0f}" y="{y + 3:.0f}" text-anchor="end">{escape(text)}</text>'
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = datetime.fromtimestamp(shown.start + (shown.end - shown.start) * part, UTC)
        x, y = area.x + area.width * part, area.y + area.height + 11
        yield f'<text class="axis" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{at:%H:%M:%S}</text>'


def _legend(names: Sequence[str], area: Area) -> Iterator[list[tuple[float, int, str]]]:
    """Lines of names with their places; of many names the first."""
    line: list[tuple[float, int, str]] = []
    lines, x = 0, area.x
    for number, name in enumerate(names):
        width = 22 + _LETTER * len(name)
        if line and x + width > area.x + area.width:
            yield line
            lines += 1
            line, x = [], area.x
            if lines == _LEGEND_LINES:
                return
        line.append((x, number, name))
        x += width
    if line:
        yield line


def _top(highest: float) -> float:
    """A round number that is not below the highest."""
    if highest <= 0:
        return 1.0
    magnitude = 10.0 ** floor(log10(highest))
    return ceil(highest / magnitude * 2 - 1e-9) / 2 * magnitude
