"""Dashboards as files have them: panels and their queries. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    ref: str
    text: str
    sql: bool
    """Asked of Postgres; else of Prometheus."""
    legend: str
    """Name of each series, with `{{label}}` for values of labels."""
    table: bool
    """Rows are shown as they are; else they are points in time."""
    instant: bool
    """Asked for the end of the time shown alone."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, with its place in a grid of 24 columns."""

    board: str
    title: str
    description: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    stacked: bool
    bars: bool
    queries: Sequence[Query]

    @property
    def name(self) -> str:
        return f"{self.board}: {self.title}"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    name: str
    title: str
    document: Mapping[str, Any]
    panels: Sequence[Panel]
    rows: Sequence[tuple[int, str]]
    """Headings: line of the grid, and text."""
    variables: Mapping[str, str]
    """Those that are filled by a query of the database."""


def boards(folder: Path = FOLDER) -> list[Board]:
    """All dashboards of a folder, in order of their files' names."""
    return [board(path) for path in sorted(folder.glob("*.json"))]


def board(path: Path) -> Board:
    """One dashboard from its file."""
    document: dict[str, Any] = json.loads(path.read_text())
    variables = {one["name"]: one["query"] for one in document["templating"]["list"] if one["type"] == "query"}
    panels = [_panel(path.stem, one) for one in document["panels"] if one["type"] != "row"]
    rows = [(one["gridPos"]["y"], one["title"]) for one in document["panels"] if one["type"] == "row"]
    return Board(path.stem, document["title"], document, panels, rows, variables)


def _panel(name: str, document: Mapping[str, Any]) -> Panel:
    place = document["gridPos"]
    defaults = document["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    return Panel(
        board=name,
        title=document["title"],
        description=document["description"],
        kind=document["type"],
        unit=defaults["unit"],
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        bars=custom.get("drawStyle") == "bars",
        queries=list(_queries(document["targets"])),
    )


def _queries(targets: Sequence[Mapping[str, Any]]) -> Iterator[Query]:
    for one in targets:
        sql = "rawSql" in one
        yield Query(
            ref=one["refId"],
            text=one["rawSql"] if sql else one["expr"],
            sql=sql,
            legend=one.get("legendFormat", ""),
            table=one.get("format") == "table",
            instant=bool(one.get("instant", False)),
        )
