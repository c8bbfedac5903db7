"""Every query of every dashboard is run as Grafana runs it, after an end-to-end run, and answers something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from flightlog_dashboards.__main__ import pictures
from flightlog_dashboards.answers import has_data
from flightlog_dashboards.asking import Sources
from flightlog_dashboards.boards import Board, Panel, boards
from flightlog_dashboards.macros import promql
from tests.integration.dashboards.conftest import Ran

KUBERNETES: Final = "the embedded stack runs tasks as processes: there is no cluster to speak of"
CONNECTORS: Final = "the embedded stack has no connectors"
WITHOUT_DATA: Final = {
    "launcher: Pods and their like": KUBERNETES,
    "launcher: Time until an object is made": KUBERNETES,
    "launcher: Time until a change is on the log": KUBERNETES,
    "launcher: Calls of the Kubernetes API": KUBERNETES,
    "launcher: Time of a call of the Kubernetes API": KUBERNETES,
    "launcher: Watches": KUBERNETES,
    "launcher: Silence of the Kubernetes API": KUBERNETES,
    "launcher: Leaders": KUBERNETES,
    "launcher: Removed": KUBERNETES,
    "launcher: What projects have in the cluster": KUBERNETES,
    "launcher: Connectors that answer": CONNECTORS,
    "launcher: Time of a call of a connector": CONNECTORS,
    "launcher: Time until a connector's answer is on the log": CONNECTORS,
}
"""Panels that can have nothing to show here, and why. Prometheus must understand their queries all the same, and
`tests/unit/telemetry/test_dashboards.py` holds their metrics against what the services count."""
PANELS: Final = [(board, panel) for board in boards() for panel in board.panels]


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[panel.name for _, panel in PANELS])
async def test_panel_has_data(ran: Ran, sources: Sources, board: Board, panel: Panel) -> None:
    answers = await sources.ask(board, panel, ran.shown)
    told = {query.ref: has_data(answer) for query, answer in zip(panel.queries, answers, strict=True)}
    if panel.name in WITHOUT_DATA:
        assert not any(told.values()), f"{panel.name} has data: {WITHOUT_DATA[panel.name]} is no reason any more"
        return
    assert all(told.values()), [told, *(promql(query.text, ran.shown) for query in panel.queries if not query.sql)]


async def test_variables_have_values(ran: Ran, sources: Sources) -> None:
    for board in boards():
        values = await sources.variables(board, ran.shown)
        assert all(values.values()), (board.name, values)
        assert values.keys() == board.variables.keys()


async def test_panels_without_data_are_there() -> None:
    names = {panel.name for _, panel in PANELS}
    assert WITHOUT_DATA.keys() <= names


async def test_the_parts_of_an_attempts_time_make_up_its_nodes(ran: Ran, sources: Sources) -> None:
    """Queueing, start, run and decision leave nothing out and count nothing twice."""
    (board,) = [board for board in boards() if board.name == "executions"]
    (split,) = [panel for panel in board.panels if panel.title == "Split of wall time"]
    (answer,) = await sources.ask(board, split, ran.shown)
    assert [row[0] for row in answer.rows] == ["queueing", "start", "run", "decision"]  # type: ignore[union-attr]
    parts = sum(float(row[1]) for row in answer.rows)  # type: ignore[union-attr]
    nodes = await sources.database.fetchval(
        "SELECT sum(extract(epoch FROM n.updated_at - n.created_at)) FROM execution.node_executions n "
        "WHERE n.kind = 3 AND n.phase IN ('SUCCEEDED', 'FAILED', 'ABORTED') AND EXISTS "
        "(SELECT FROM execution.task_executions t "
        "WHERE (t.execution_name, t.node_id) = (n.execution_name, n.node_id))"
    )
    assert parts == pytest.approx(float(nodes), abs=0.01)


async def test_dashboards_can_be_drawn(ran: Ran, sources: Sources, tmp_path: Path) -> None:
    drawn = await pictures(sources, ran.shown)
    assert drawn.keys() == {board.name for board in boards()}
    for name, picture in drawn.items():
        texts = set(re.findall(r'<text class="title"[^>]*>([^<]*)</text>', picture))
        assert len(texts) == len({panel.title for board, panel in PANELS if board.name == name})
        assert picture.count("No data") == sum(
            panel.name in WITHOUT_DATA for board, panel in PANELS if board.name == name
        )


async def test_the_reader_reads_tables_that_are_made_anew_and_changes_none(ran: Ran, sources: Sources) -> None:
    before = await sources.database.fetchval("SELECT 'execution.executions'::regclass::oid")
    rebuilt = ran.stack.cli("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert await sources.database.fetchval("SELECT 'execution.executions'::regclass::oid") != before
    schemas = await sources.database.fetch("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_)'")
    tables = await sources.database.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", [row["nspname"] for row in schemas]
    )
    assert {row["schemaname"] for row in tables} >= {"registry", "execution", "catalog", "schedules", "deliveries"}
    for row in tables:
        await sources.database.fetch(f'SELECT * FROM {row["schemaname"]}."{row["tablename"]}" LIMIT 1')
    with pytest.raises(asyncpg.PostgresError):
        await sources.database.execute("DELETE FROM execution.executions")
    await sources.database.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sources.database.execute("DELETE FROM execution.executions")
