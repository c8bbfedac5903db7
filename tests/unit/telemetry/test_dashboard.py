"""The Grafana dashboard shows what the services really count, and all of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

import flightlog_log.metrics
import flightlog_read.metrics
import flightlog_rpc.metrics
import services.catalog.shell
import services.execution.metrics
import services.k8s_launcher.kubernetes.service
import services.k8s_launcher.process.runtime
import services.k8s_launcher.shell
import services.scheduler.deliveries.sending
import services.scheduler.schedules.metrics

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "flightlog.json"
COUNTING = (
    flightlog_log.metrics,
    flightlog_read.metrics,
    flightlog_rpc.metrics,
    services.catalog.shell,
    services.execution.metrics,
    services.k8s_launcher.kubernetes.service,
    services.k8s_launcher.process.runtime,
    services.k8s_launcher.shell,
    services.scheduler.deliveries.sending,
    services.scheduler.schedules.metrics,
)
_SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "info": ("_info",)}


def sample_names() -> dict[str, str]:
    """Name of each sample on a metrics page -> the metric it belongs to."""
    assert COUNTING
    return {
        metric.name + suffix: metric.name for metric in REGISTRY.collect() for suffix in _SAMPLES.get(metric.type, ())
    }


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def names_in(panel: dict[str, Any]) -> set[str]:
    return {
        name for target in panel["targets"] for name in re.findall(r"\b(?:flightlog|process)_[a-z_]+", target["expr"])
    }


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_shows_numbers_that_exist(panel: dict[str, Any]) -> None:
    assert names_in(panel)
    assert names_in(panel) <= sample_names().keys()


def test_every_number_of_ours_is_shown() -> None:
    known = sample_names()
    shown = {known[name] for panel in panels() for name in names_in(panel)}
    ours = {metric for metric in known.values() if metric.startswith("flightlog_")}
    assert ours - shown == {"flightlog_projection_sequence"}  # an absolute number: its lag is shown


def test_panels_lie_beside_one_another() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
