"""Grafana's dashboards show what the services really count, and all of it."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from flightlog_dashboards.boards import Board, Panel, boards

ROOT = Path(__file__).parents[3]
COUNTING = "from prometheus_client import"
BOARDS = boards()
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
WANTED = {"overview", "log", "executions", "launcher", "api", "projections", "cache", "audit", "schedules"}
_SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "info": ("_info",)}
# Prometheus' own, about each page that it reads.
_OF_PROMETHEUS = {"up"}


@cache
def sample_names() -> dict[str, str]:
    """Name of each sample on a metrics page -> the metric it belongs to, of all modules that count anything."""
    for folder, package in (("libs", ROOT / "libs"), ("services", ROOT)):
        for path in (ROOT / folder).rglob("*.py"):
            if COUNTING in path.read_text():
                importlib.import_module(".".join(path.relative_to(package).with_suffix("").parts))
    return {
        metric.name + suffix: metric.name for metric in REGISTRY.collect() for suffix in _SAMPLES.get(metric.type, ())
    }


def names_in(panel: Panel) -> set[str]:
    """The metrics that a panel asks Prometheus for."""
    texts = [query.text for query in panel.queries if not query.sql]
    return {name for text in texts for name in re.findall(r"\b(?:flightlog_[a-z_]+|process_[a-z_]+|up\b)", text)}


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[panel.name for _, panel in PANELS])
def test_panel_shows_numbers_that_exist(board: Board, panel: Panel) -> None:
    assert names_in(panel) <= sample_names().keys() | _OF_PROMETHEUS
    assert names_in(panel) or all(query.sql for query in panel.queries)


def test_every_number_of_ours_is_shown() -> None:
    known = sample_names()
    shown = {known[name] for _, panel in PANELS for name in names_in(panel) - _OF_PROMETHEUS}
    ours = {metric for metric in known.values() if metric.startswith("flightlog_")}
    assert ours - shown == set()


def test_there_is_a_dashboard_for_each_matter() -> None:
    assert {board.name for board in BOARDS} == WANTED
    uids = [board.document["uid"] for board in BOARDS]
    assert len(uids) == len(set(uids))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_lie_beside_one_another(board: Board) -> None:
    places = [panel["gridPos"] for panel in board.document["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in board.document["panels"]}) == len(board.document["panels"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_data_sources_are_chosen_above(board: Board) -> None:
    """A dashboard that is imported asks which data sources it may use; none is written into it."""
    chosen = {f"${{{one['name']}}}" for one in board.document["templating"]["list"] if one["type"] == "datasource"}
    for panel in board.document["panels"]:
        for target in panel.get("targets", ()):
            kind = "grafana-postgresql-datasource" if "rawSql" in target else "prometheus"
            assert target["datasource"]["type"] == kind
            assert target["datasource"]["uid"] in chosen
    assert board.document["title"].startswith("Flightlog: ")


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=lambda panel: panel.name)
def test_panel_says_what_it_shows(panel: Panel) -> None:
    assert panel.description.endswith((".", ")"))
    assert len({query.ref for query in panel.queries}) == len(panel.queries) > 0


def test_files_are_written_to_be_read() -> None:
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
        text = path.read_text()
        assert text.startswith('{\n  "'), "two spaces a level"
        assert text.endswith("}\n")
