"""A dashboard with what its queries answered, as one SVG document. Pure: nothing in it is fetched or run to show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from flightlog_dashboards.answers import Answer, Table
from flightlog_dashboards.boards import Board, Panel
from flightlog_dashboards.macros import Shown
from flightlog_dashboards.plots import COLOURS, Area, plot
from flightlog_dashboards.units import cell
from flightlog_dashboards.units import shown as in_unit

_COLUMN: Final = 50
_LINE: Final = 28
_TOP: Final = 34
_GAP: Final = 6
_HEADING: Final = 24
_TABLE_LINE: Final = 14
_STYLE: Final = """
text { font: 11px ui-sans-serif, "Helvetica Neue", Arial, sans-serif; fill: #1f2937; }
text.title { font-weight: 600; font-size: 12px; }
text.board { font-weight: 600; font-size: 17px; }
text.heading { font-weight: 600; font-size: 13px; fill: #4b5563; }
text.small { font-size: 9.5px; fill: #4b5563; }
text.axis { font-size: 9px; fill: #6b7280; }
text.number { font-size: 28px; font-weight: 600; fill: #047857; }
text.none { fill: #9ca3af; }
rect.panel { fill: #ffffff; stroke: #e5e7eb; }
line.grid { stroke: #e5e7eb; }
"""


def svg(board: Board, answers: Mapping[str, Sequence[Answer]], shown: Shown) -> str:
    """The picture.

    Args:
        answers: to the queries of each panel, by the panel's title.
    """
    width = 24 * _COLUMN
    height = _TOP + _LINE * max(panel.y + panel.height for panel in board.panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img">',
        f"<title>{escape(board.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#f9fafb"/>',
        f'<text class="board" x="{_GAP}" y="22">{escape(board.title)}</text>',
    ]
    for line, title in board.rows:
        parts.append(f'<text class="heading" x="{_GAP}" y="{_TOP + line * _LINE + 19}">{escape(title)}</text>')
    for panel in board.panels:
        parts += _panel(panel, answers[panel.title], shown)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, answers: Sequence[Answer], shown: Shown) -> Iterator[str]:
    x, y = panel.x * _COLUMN + _GAP / 2, _TOP + panel.y * _LINE + _GAP / 2
    width, height = panel.width * _COLUMN - _GAP, panel.height * _LINE - _GAP
    yield f'<rect class="panel" x="{x:.0f}" y="{y:.0f}" width="{width}" height="{height}" rx="2"/>'
    yield f'<text class="title" x="{x + 8:.0f}" y="{y + 16:.0f}">{escape(panel.title)}</text>'
    area = Area(x + 8, y + _HEADING, width - 16, height - _HEADING - 6)
    if not _anything(answers):
        middle = f'x="{x + width / 2:.0f}" y="{y + height / 2:.0f}"'
        yield f'<text class="none" {middle} text-anchor="middle">No data</text>'
        return
    match panel.kind:
        case "timeseries":
            series = [one for answer in answers if not isinstance(answer, Table) for one in answer]
            yield from plot(series, area, shown, panel.unit, stacked=panel.stacked, bars=panel.bars)
        case "stat":
            yield from _number(answers, area, panel.unit)
        case "bargauge" | "piechart":
            yield from _shares(_rows(answers), area, panel.unit)
        case _:
            yield from _table(answers, area, panel.unit)


def _anything(answers: Sequence[Answer]) -> bool:
    return any(answer.rows if isinstance(answer, Table) else any(one.points for one in answer) for answer in answers)


def _number(answers: Sequence[Answer], area: Area, unit: str) -> Iterator[str]:
    value = _last(answers[0])
    text = "–" if value is None else in_unit(value, unit)
    yield (
        f'<text class="number" x="{area.x + area.width / 2:.0f}" y="{area.y + area.height / 2 + 8:.0f}" '
        f'text-anchor="middle">{escape(text)}</text>'
    )


def _last(answer: Answer) -> float | None:
    if isinstance(answer, Table):
        value = answer.rows[0][-1] if answer.rows else None
        return None if value is None else float(value)
    return next((series.points[-1][1] for series in answer if series.points), None)


def _rows(answers: Sequence[Answer]) -> list[tuple[str, float]]:
    """Names and numbers of the first answer."""
    answer = answers[0]
    if isinstance(answer, Table):
        return [(str(row[0]), float(row[-1])) for row in answer.rows if row[-1] is not None]
    return [(one.name, one.points[-1][1]) for one in answer if one.points]


def _shares(rows: Sequence[tuple[str, float]], area: Area, unit: str) -> Iterator[str]:
    """Bars side by side; with each its share of all."""
    largest = max((value for _, value in rows), default=0.0) or 1.0
    total = sum(value for _, value in rows) or 1.0
    line = min(30.0, area.height / max(1, len(rows)))
    for number, (name, value) in enumerate(rows):
        y = area.y + number * line
        width = (area.width - 190) * value / largest
        yield f'<text class="small" x="{area.x:.0f}" y="{y + line * 0.6:.0f}">{escape(name)}</text>'
        yield (
            f'<rect x="{area.x + 80:.0f}" y="{y + 3:.0f}" width="{width:.1f}" height="{max(3.0, line - 8):.0f}" '
            f'fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        text = f"{in_unit(value, unit)}, {100 * value / total:.0f} %"
        yield f'<text class="small" x="{area.x + 86 + width:.0f}" y="{y + line * 0.6:.0f}">{escape(text)}</text>'


def _table(answers: Sequence[Answer], area: Area, unit: str) -> Iterator[str]:
    """As many rows as there is room for."""
    table = _joined([answer for answer in answers if isinstance(answer, Table)])
    room = max(1, int(area.height / _TABLE_LINE) - 1)
    lines = [list(table.columns), *([cell(value, unit) for value in row] for row in table.rows[:room])]
    widths = [max(len(line[column]) for line in lines) + 2 for column in range(len(table.columns))]
    letter = min(5.6, area.width / max(1, sum(widths)))
    for number, line in enumerate(lines):
        x, y = area.x, area.y + 9 + number * _TABLE_LINE
        for text, letters in zip(line, widths, strict=True):
            style = "axis" if number == 0 else "small"
            yield f'<text class="{style}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'
            x += letters * letter


def _joined(tables: Sequence[Table]) -> Table:
    """Several answers whose rows have the same names, as one."""
    if len(tables) == 1:
        return tables[0]
    found: dict[tuple[Any, ...], dict[int, Any]] = {}
    for number, table in enumerate(tables):
        for row in table.rows:
            found.setdefault(tuple(row[:-1]), {})[number] = row[-1]
    columns = [*tables[0].columns[:-1], *(f"value {number + 1}" for number in range(len(tables)))]
    rows = [[*names, *(values.get(number) for number in range(len(tables)))] for names, values in found.items()]
    return Table(columns, rows)
